// The map of embeddings: one pixel buffer, written anew for every frame.

// Classes' colours, as far as they go: then hues at the golden angle.
const CLASS_COLORS = [
  '#4c78a8', '#f58518', '#e45756', '#72b7b2', '#54a24b',
  '#d8a70e', '#b279a2', '#ff7f9d', '#9d755d', '#8a8f96',
];
// From low to high: viridis.
const RAMP = ['#440154', '#414487', '#2a788e', '#22a884', '#7ad151', '#fde725'];
const MAX_LEGEND = 20;
// Pixels: what is near a pointer, and what is a drag and no click.
const NEAR = 8;
const DRAGGED = 4;
const STEP = 60;
const MAX_UNIT = 65535;
const map = { x: 0, y: 0, scale: 1, box: null, drag: null, isDue: false };
const mapPart = (name) => document.getElementById(`map-${name}`);

// [r, g, b] of '#rrggbb'.
const rgbOf = (color) => [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
// As a pixel buffer of a little-endian machine has it.
const pixelOf = ([r, g, b], alpha = 255) =>
  ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;

function classColor(label) {
  if (label < CLASS_COLORS.length) return CLASS_COLORS[label];
  const part = (shift) => {
    const k = (shift + ((label * 137.5) % 360) / 30) % 12;
    const value = 0.5 - 0.3 * Math.max(-1, Math.min(k - 3, 9 - k, 1));
    return Math.round(255 * value).toString(16).padStart(2, '0');
  };
  return `#${part(0)}${part(8)}${part(4)}`;
}

function rampPixels() {
  const steps = [];
  for (let i = 0; i < 256; i += 1) {
    const at = (i / 256) * (RAMP.length - 1);
    const [low, high] = [Math.floor(at), Math.floor(at) + 1].map((k) => rgbOf(RAMP[k]));
    steps.push(pixelOf(low.map((v, k) => Math.round(v + (at % 1) * (high[k] - v)))));
  }
  return steps;
}

// The values that 2 % of the examples are below, and above.
function usualRange(values) {
  const known = values.filter((value) => Number.isFinite(value)).sort();
  const at = (share) => known[Math.round(share * (known.length - 1))];
  return [at(0.02), at(0.98)];
}

function legend(...entries) {
  mapPart('legend').replaceChildren(
    ...entries.map(([color, text]) => {
      const item = element('li', text);
      const swatch = element('span', '', 'swatch');
      swatch.style.background = color;
      item.prepend(swatch);
      return item;
    }),
  );
}

// Sets the colour of every point, and says what they mean.
function colorMap() {
  const by = mapPart('color').value;
  const { labels, is_issue: isIssue } = examples;
  const colors = new Uint32Array(meta.num_examples);
  const none = pixelOf(rgbOf('#8a8f96'));
  if (by === 'class') {
    const pixels = meta.class_names.map((_, label) => pixelOf(rgbOf(classColor(label))));
    for (let i = 0; i < colors.length; i += 1) colors[i] = pixels[labels[i]];
    const shown = meta.class_names.slice(0, MAX_LEGEND);
    const entries = shown.map((name, label) => [classColor(label), name]);
    const left = meta.class_names.length - shown.length;
    if (left) entries.push(['none', `and ${left} more classes`]);
    legend(...entries);
  } else if (by === 'issue') {
    const wrong = pixelOf(rgbOf('#e45756'));
    for (let i = 0; i < colors.length; i += 1) colors[i] = isIssue[i] ? wrong : none;
    legend(['#e45756', 'suspected label error'], ['#8a8f96', 'no suspect']);
  } else {
    const values = examples.score[Number(by)];
    const [low, high] = usualRange(values);
    const pixels = rampPixels();
    const scale = 255 / (high - low || 1);
    for (let i = 0; i < colors.length; i += 1) {
      const step = Math.min(255, Math.max(0, Math.round((values[i] - low) * scale)));
      colors[i] = Number.isNaN(step) ? none : pixels[step];
    }
    legend(
      [RAMP[0], `${short(low)} or less`],
      [`linear-gradient(90deg, ${RAMP.join(',')})`, meta.scores[Number(by)].name],
      [RAMP.at(-1), `${short(high)} or more`],
    );
  }
  map.colors = colors;
  redrawMap();
}

// Points that the gallery does not show are faint, and below the others.
function dimMap() {
  const { found } = gallery;
  map.isFound = null;
  if (found.length < meta.num_examples) {
    map.isFound = new Uint8Array(meta.num_examples);
    for (const index of found) map.isFound[index] = 1;
  }
  redrawMap();
}

function fitMap() {
  const { canvas } = map;
  map.scale = (0.94 * Math.min(canvas.width, canvas.height)) / MAX_UNIT;
  map.x = (canvas.width - map.width * map.scale) / 2;
  map.y = (canvas.height - map.height * map.scale) / 2;
  redrawMap();
}

function resizeMap() {
  const { canvas } = map;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || (canvas.width === width && canvas.height === height)) return;
  canvas.width = width;
  canvas.height = height;
  map.image = map.context.createImageData(width, height);
  map.pixels = new Uint32Array(map.image.data.buffer);
  fitMap();
}

function redrawMap() {
  if (map.isDue || !map.image) return;
  map.isDue = true;
  requestAnimationFrame(drawMap);
}

function drawPoints(wanted, size) {
  const { pixels, colors, isFound, x, y, scale } = map;
  const { width, height } = map.canvas;
  const points = examples.map;
  const faint = 0x30ffffff;
  const [cornerX, cornerY] = [x, y].map((start) => start - size / 2 + 0.5);
  for (let i = 0; i < colors.length; i += 1) {
    if (isFound && isFound[i] !== wanted) continue;
    const left = Math.floor(cornerX + points[2 * i] * scale);
    const top = Math.floor(cornerY + points[2 * i + 1] * scale);
    if (left < 0 || top < 0 || left + size > width || top + size > height) continue;
    const color = wanted ? colors[i] : (colors[i] & faint) >>> 0;
    // Not by `fill`: its calls take longer than so few pixels.
    for (let row = 0, at = top * width + left; row < size; row += 1, at += width) {
      for (let column = 0; column < size; column += 1) pixels[at + column] = color;
    }
  }
}

function drawMap() {
  map.isDue = false;
  const { canvas, context, box } = map;
  // Few points are large, and all grow a little when looked at from near.
  const near = map.scale / ((0.94 * Math.min(canvas.width, canvas.height)) / MAX_UNIT);
  const base = meta.num_examples > 20000 ? 2 : meta.num_examples > 4000 ? 3 : 5;
  const size = Math.min(9, Math.round(base * Math.max(1, near ** 0.4)));
  map.pixels.fill(0);
  if (map.isFound) drawPoints(0, size);
  drawPoints(1, size);
  context.putImageData(map.image, 0, 0);
  if (!box) return;
  context.strokeStyle = getComputedStyle(canvas).color;
  const [x0, y0, x1, y1] = box;
  context.strokeRect(
    map.x + x0 * map.scale, map.y + y0 * map.scale,
    (x1 - x0) * map.scale, (y1 - y0) * map.scale,
  );
}

// The place on the map of a pixel of the canvas.
const placeOf = (x, y) => [(x - map.x) / map.scale, (y - map.y) / map.scale];

function zoomMap(factor, x = map.canvas.width / 2, y = map.canvas.height / 2) {
  const scale = Math.min(2, Math.max(0.002, map.scale * factor));
  const kept = scale / map.scale;
  map.x = x - (x - map.x) * kept;
  map.y = y - (y - map.y) * kept;
  map.scale = scale;
  redrawMap();
}

function moveMap(x, y) {
  map.x += x;
  map.y += y;
  redrawMap();
}

// Shows in the gallery what is in a box of the map: [x0, y0, x1, y1].
function showBox(box) {
  const [x0, y0, x1, y1] = box;
  const points = examples.map;
  const only = new Uint8Array(meta.num_examples);
  for (let i = 0; i < only.length; i += 1) {
    const [x, y] = [points[2 * i], points[2 * i + 1]];
    only[i] = x >= x0 && x <= x1 && y >= y0 && y <= y1 ? 1 : 0;
  }
  map.box = box;
  gallery.only = only;
  updateGallery();
  mapPart('clear').disabled = false;
  const count = gallery.found.length.toLocaleString('en');
  mapPart('said').textContent = `The gallery shows ${count} examples of the box.`;
}

function clearBox() {
  map.box = null;
  gallery.only = null;
  mapPart('clear').disabled = true;
  mapPart('said').textContent = '';
}

function showView() {
  const { width, height } = map.canvas;
  showBox([...placeOf(0, 0), ...placeOf(width, height)]);
}

// The example nearest to a pixel; -1 if none is near.
function exampleAt(x, y) {
  const points = examples.map;
  const [atX, atY] = placeOf(x, y);
  let best = (NEAR / map.scale) ** 2;
  let found = -1;
  for (let i = 0; i < meta.num_examples; i += 1) {
    if (map.isFound && !map.isFound[i]) continue;
    const away = (points[2 * i] - atX) ** 2 + (points[2 * i + 1] - atY) ** 2;
    if (away < best) [best, found] = [away, i];
  }
  return found;
}

function showTip(index, x, y) {
  const tip = mapPart('tip');
  tip.hidden = index < 0;
  if (index < 0 || index === map.tipped) return;
  map.tipped = index;
  const text = `${index}: ${className(examples.labels[index])}`;
  tip.replaceChildren(element('span', text));
  if (meta.thumbnails && hasPicture(index)) tip.prepend(makeThumbnail(index));
  const { width, height } = map.canvas;
  tip.style.left = `${Math.min(x + 14, width - 110)}px`;
  tip.style.top = `${Math.min(y + 14, height - 120)}px`;
}

function onDown(event) {
  if (event.button) return;
  const isPan = (mapPart('drag').value === 'pan') !== event.shiftKey;
  const { offsetX: x, offsetY: y } = event;
  map.drag = { isPan, x, y, from: [x, y], isFar: false };
  map.canvas.setPointerCapture(event.pointerId);
}

function onMove({ offsetX: x, offsetY: y }) {
  const { drag } = map;
  if (!drag) {
    showTip(exampleAt(x, y), x, y);
    return;
  }
  drag.isFar ||= Math.hypot(x - drag.from[0], y - drag.from[1]) > DRAGGED;
  if (drag.isPan) moveMap(x - drag.x, y - drag.y);
  else if (drag.isFar) {
    const ends = [placeOf(...drag.from), placeOf(x, y)];
    const [xs, ys] = [0, 1].map((k) => ends.map((end) => end[k]).sort((a, b) => a - b));
    map.box = [xs[0], ys[0], xs[1], ys[1]];
    redrawMap();
  }
  [drag.x, drag.y] = [x, y];
}

function onUp({ offsetX: x, offsetY: y }) {
  const { drag } = map;
  map.drag = null;
  if (!drag) return;
  if (drag.isFar) {
    if (!drag.isPan) showBox(map.box);
    return;
  }
  const index = exampleAt(x, y);
  if (index >= 0) showDetails(index);
}

const MAP_KEYS = {
  ArrowLeft: () => moveMap(STEP, 0),
  ArrowRight: () => moveMap(-STEP, 0),
  ArrowUp: () => moveMap(0, STEP),
  ArrowDown: () => moveMap(0, -STEP),
  '+': () => zoomMap(1.4),
  '=': () => zoomMap(1.4),
  '-': () => zoomMap(1 / 1.4),
  0: fitMap,
  Enter: showView,
};

function startMap() {
  map.canvas = mapPart('canvas');
  if (!map.canvas) return;
  // Pixels are put, never drawn by a GPU.
  map.context = map.canvas.getContext('2d', { willReadFrequently: true });
  const points = examples.map;
  [map.width, map.height] = [0, 0];
  for (let i = 0; i < points.length; i += 2) {
    map.width = Math.max(map.width, points[i]);
    map.height = Math.max(map.height, points[i + 1]);
  }
  const { canvas } = map;
  canvas.addEventListener('pointerdown', onDown);
  canvas.addEventListener('pointermove', onMove);
  canvas.addEventListener('pointerup', onUp);
  canvas.addEventListener('pointercancel', () => { map.drag = null; });
  canvas.addEventListener('pointerleave', () => showTip(-1));
  canvas.addEventListener('wheel', (event) => {
    // Without the focus the page scrolls on, as readers expect.
    if (document.activeElement !== canvas && !event.ctrlKey) return;
    event.preventDefault();
    zoomMap(1.002 ** -event.deltaY, event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = MAP_KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  const onClick = (name, action) => mapPart(name).addEventListener('click', action);
  onClick('in', () => zoomMap(1.4));
  onClick('out', () => zoomMap(1 / 1.4));
  onClick('all', fitMap);
  onClick('view', showView);
  onClick('clear', () => form.reset());
  mapPart('color').addEventListener('change', colorMap);
  form.addEventListener('reset', clearBox);
  gallery.onUpdate.push(dimMap);
  new ResizeObserver(resizeMap).observe(canvas);
  colorMap();
  dimMap();
}
