// Unpacks what the page carries: descriptions as JSON, arrays as gzip, images
// as sprite sheets, all of them in script elements at the page's end.

const TYPES = {
  ids: null,
  ids_shared: Uint8Array,
  labels: Int32Array,
  predictions: Int32Array,
  original_labels: Int32Array,
  suggested_labels: Int32Array,
  is_issue: Uint8Array,
  flags: Int32Array,
  neighbour_of: Int32Array,
  neighbours: Int32Array,
  map: Uint16Array,
  thumbnail_slot: Int32Array,
  score: Float32Array,
  levels: Float32Array,
  kept: Uint8Array,
  action: Uint8Array,
};
// A page of the gallery may need a sheet for every image.
const MAX_SHEETS = 80;

const readJson = (id) => JSON.parse(document.getElementById(id).textContent);
const meta = readJson('report-payload');
const specs = readJson('report-specs');
// Where images are files on this machine: what their ids are paths below.
const originals = readJson('report-originals');
const examples = {};

async function unpack(text) {
  const packed = await fetch(`data:application/gzip;base64,${text}`);
  const stream = packed.body.pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

// Numbers are packed with the lowest bytes of all first, then the next ones.
function joined(buffer, Type) {
  const planes = new Uint8Array(buffer);
  const size = Type.BYTES_PER_ELEMENT;
  const number = planes.length / size;
  const bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < size; plane += 1) {
    const start = plane * number;
    for (let i = 0; i < number; i += 1) bytes[i * size + plane] = planes[start + i];
  }
  return new Type(bytes.buffer);
}

// Fills `examples` with ids, labels, ..., and lists `score`, `kept` and `action`.
async function loadExamples() {
  const elements = [...document.querySelectorAll('[data-array]')];
  const buffers = await Promise.all(
    elements.map((element) => unpack(element.textContent)),
  );
  examples.score = [];
  examples.levels = [];
  examples.kept = [];
  examples.action = [];
  elements.forEach((element, position) => {
    const [name, number] = element.dataset.array.split('-');
    const buffer = buffers[position];
    if (name === 'ids') {
      examples.ids = new TextDecoder().decode(buffer).split('\0');
    } else if (number === undefined) {
      examples[name] = joined(buffer, TYPES[name]);
    } else {
      examples[name][Number(number)] = joined(buffer, TYPES[name]);
    }
    element.remove();
  });
  let before = '';
  examples.ids = examples.ids.map((rest, i) => {
    before = before.slice(0, examples.ids_shared[i]) + rest;
    return before;
  });
  // Scores that were rounded are numbers of the values that they have.
  examples.levels.forEach((levels, score) => {
    const places = new Int32Array(examples.score[score].buffer);
    examples.score[score] = Float32Array.from(places, (place) => levels[place]);
  });
}

const className = (label) =>
  label < 0 ? 'none' : (meta.class_names[label] ?? String(label));

// The classes that a text names: that of just this name, or else all that have
// it in their names.
function classesNamed(text) {
  const wanted = text.trim().toLowerCase();
  const names = meta.class_names.map((name) => name.toLowerCase());
  const having = (has) => [...names.keys()].filter((label) => has(names[label]));
  const exact = having((name) => name.trim() === wanted);
  return exact.length ? exact : having((name) => name.includes(wanted));
}

// The labels that a filter by class chooses, and says which; null for all. It is
// a select of few classes, a text field of many.
function chosenClasses(field) {
  const text = field.value.trim();
  if (field.tagName === 'SELECT') return text ? new Set([Number(text)]) : null;
  const chosen = text ? classesNamed(text) : [];
  const isUnknown = text !== '' && !chosen.length;
  let said = '';
  if (isUnknown) said = 'no class is called so';
  else if (chosen.length > 1) said = `${chosen.length} classes`;
  else if (chosen.length) said = 'one class';
  const note = document.getElementById(`${field.id}-said`);
  if (note.textContent !== said) note.textContent = said;
  note.classList.toggle('wrong', isUnknown);
  field.setAttribute('aria-invalid', String(isUnknown));
  return text ? new Set(chosen) : null;
}

const scoreIndex = (name) =>
  meta.scores.findIndex((score) => score.name === name);

const isIn = (bits, index) => (bits[index >> 3] >> (index & 7)) & 1;

const isKept = (selection, index) => isIn(examples.kept[selection], index);

// Nine digits give a 32-bit float back exactly, five one that was rounded.
function exact(value) {
  const few = Number(value.toPrecision(5));
  const isEnough = Math.fround(few) === value;
  return String(isEnough ? few : Number(value.toPrecision(9)));
}

const short = (value) =>
  Number.isFinite(value) ? String(Number(value.toPrecision(3))) : 'none';

const sheets = new Map();

function loadSheet(number) {
  let image = sheets.get(number);
  // Those that were used last stay.
  sheets.delete(number);
  if (!image) {
    const text = document.getElementById(`sheet-${number}`).textContent;
    const { mime_type: type } = meta.thumbnails;
    image = fetch(`data:${type};base64,${text}`)
      .then((response) => response.blob())
      .then((blob) => createImageBitmap(blob));
  }
  sheets.set(number, image);
  if (sheets.size > MAX_SHEETS) sheets.delete(sheets.keys().next().value);
  return image;
}

// Draws an example's thumbnail; leaves the canvas empty if it has none.
async function drawThumbnail(canvas, index) {
  const { width, height, stride, tiles } = meta.thumbnails;
  canvas.width = width;
  canvas.height = height;
  const slot = examples.thumbnail_slot[index];
  if (slot < 0) return;
  const image = await loadSheet(Math.floor(slot / tiles ** 2));
  const place = slot % tiles ** 2;
  const left = (place % tiles) * stride[0];
  const top = Math.floor(place / tiles) * stride[1];
  const context = canvas.getContext('2d');
  context.drawImage(image, left, top, width, height, 0, 0, width, height);
}
