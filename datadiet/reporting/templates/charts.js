// Draws the charts when they come into view, in the colours of the page.

const BINS = 50;
const MAX_STACKED = 20;
const views = {};

function chartColors() {
  const style = getComputedStyle(document.body);
  const probe = document.createElement('span');
  document.body.append(probe);
  // light-dark() is resolved only in a colour that is used.
  const read = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const [ink, faint, line] = ['--ink', '--faint', '--line'].map(read);
  probe.remove();
  const text = { labelColor: ink, titleColor: ink };
  const sizes = { labelFontSize: 11, titleFontSize: 12 };
  const columns = window.innerWidth < 700 ? 1 : 2;
  // Its ends are not told from a page that is as dark, or as light.
  const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
  const heat = { scheme: 'viridis', extent: isDark ? [0.2, 1] : [0, 0.9] };
  const axis = { domainColor: faint, gridColor: line, tickColor: faint };
  return {
    background: null,
    font: style.fontFamily,
    axis: { ...text, ...axis, ...sizes, labelLimit: 220 },
    legend: { ...text, ...sizes, orient: 'bottom', columns, labelLimit: 260 },
    view: { stroke: line },
    range: { heatmap: heat, ramp: heat },
    // Marks of one colour, such as the bars of one class.
    bar: { color: '#4c8fd0' },
    point: { color: '#4c8fd0' },
    tick: { color: ink },
    rule: { color: faint },
  };
}

const control = (id) => document.getElementById(id)?.value ?? '';

function binner(values) {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (Number.isFinite(value)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low >= high) [low, high] = [low - 0.5, low + 0.5];
  const width = (high - low) / BINS;
  return {
    bin: (value) => Math.min(BINS - 1, Math.floor((value - low) / width)),
    edges: (bin) => [low + bin * width, low + (bin + 1) * width],
  };
}

// What a chart of the labels chosen is of, in a word.
function classesTitle(chosen) {
  if (!chosen) return 'all classes';
  if (!chosen.size) return 'no class';
  return chosen.size === 1 ? className([...chosen][0]) : `${chosen.size} classes`;
}

function histogramTable(score, chosen) {
  const values = examples.score[score];
  const { bin, edges } = binner(values);
  const stacked = !chosen && meta.class_names.length <= MAX_STACKED;
  const counts = new Map();
  for (let i = 0; i < values.length; i += 1) {
    const own = examples.labels[i];
    if (Number.isFinite(values[i]) && (!chosen || chosen.has(own))) {
      const key = bin(values[i]) + BINS * (stacked ? own : 0);
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  // Axes need a range, also where there is nothing to be seen.
  if (!counts.size) counts.set(0, 0);
  return [...counts].map(([key, count]) => {
    const [low, high] = edges(key % BINS);
    const name = stacked ? className(Math.floor(key / BINS)) : classesTitle(chosen);
    return { low, high, count, class: name };
  });
}

function densityTable(x, y, color) {
  const [xs, ys] = [examples.score[x], examples.score[y]];
  const [xBins, yBins] = [binner(xs), binner(ys)];
  const counts = new Float64Array(BINS * BINS);
  const sums = new Float64Array(BINS * BINS);
  for (let i = 0; i < xs.length; i += 1) {
    const value = color === null ? 1 : examples.score[color][i];
    if ([xs[i], ys[i], value].every(Number.isFinite)) {
      const cell = xBins.bin(xs[i]) + BINS * yBins.bin(ys[i]);
      counts[cell] += 1;
      sums[cell] += value;
    }
  }
  const rows = [];
  counts.forEach((count, cell) => {
    if (!count) return;
    const [x_low, x_high] = xBins.edges(cell % BINS);
    const [y_low, y_high] = yBins.edges(Math.floor(cell / BINS));
    const mean = color === null ? count : sums[cell] / count;
    rows.push({ x_low, x_high, y_low, y_high, count, color: mean });
  });
  return rows;
}

function fillDensity(spec, x, y, color) {
  const { encoding } = spec;
  encoding.x.title = meta.scores[x].name;
  encoding.y.title = meta.scores[y].name;
  encoding.color.title = color === null ? 'examples' : meta.scores[color].name;
  encoding.color.scale.type = color === null ? 'log' : 'linear';
  spec.datasets = { table: densityTable(x, y, color) };
  return { x_low: x, y_low: y };
}

// Charts that depend on controls: each fills the specification and returns
// which score each brushed field is.
const fillers = {
  histogram(spec) {
    const score = Number(control('histogram-score'));
    const chosen = chosenClasses(document.getElementById('histogram-label'));
    spec.encoding.x.title = meta.scores[score].name;
    if (meta.class_names.length <= MAX_STACKED) spec.encoding.color.sort = meta.class_names;
    // The usual ten colours would come twice.
    if (meta.class_names.length > 10) spec.encoding.color.scale = { scheme: 'tableau20' };
    spec.datasets = { table: histogramTable(score, chosen) };
    return { low: score };
  },
  'data-map': (spec) =>
    fillDensity(
      spec,
      scoreIndex('variability'),
      scoreIndex('mean_confidence'),
      scoreIndex('correctness'),
    ),
  density: (spec) =>
    fillDensity(spec, Number(control('density-x')), Number(control('density-y')), null),
  curves(spec) {
    const metric = spec.params.find(({ name }) => name === 'metric');
    metric.value = control('curves-metric');
    return {};
  },
};

// A short number; what it leaves out of a range so wide is below what a mouse
// can point at.
function rounded(value, width) {
  const digits = 3 - Math.floor(Math.log10(width));
  return Number(value.toFixed(Math.min(Math.max(digits, 0), 20)));
}

function showBrushed(scores, brushed) {
  const fields = {};
  Object.entries(scores).forEach(([field, score], position) => {
    const range = brushed[field];
    if (!range) return;
    const suffix = position === 0 ? '_a' : '_b';
    fields[`score${suffix}`] = score;
    const [low, high] = [Math.min(...range), Math.max(...range)];
    fields[`min${suffix}`] = rounded(low, high - low);
    fields[`max${suffix}`] = rounded(high, high - low);
  });
  showInGallery(fields, { scroll: false });
}

// Numbers in the cells of a heat map that are too small for them.
function hideCrowded(target) {
  const cell = target.querySelector('.mark-rect.role-mark path');
  const numbers = target.querySelector('.mark-text.role-mark');
  if (!cell || !numbers) return;
  numbers.style.visibility = '';
  const widths = [...numbers.querySelectorAll('text')].map((text) => text.getBBox().width);
  if (Math.max(...widths) + 4 > cell.getBBox().width) numbers.style.visibility = 'hidden';
}

async function drawChart(target) {
  const name = target.dataset.chart;
  const spec = structuredClone(specs[name]);
  const scores = fillers[name]?.(spec) ?? {};
  const options = { actions: false, renderer: 'svg', config: chartColors() };
  views[name]?.finalize();
  views[name] = await vegaEmbed(target, spec, options);
  target.querySelector('svg')?.setAttribute('aria-hidden', 'true');
  hideCrowded(target);
  views[name].view.addResizeListener(() => requestAnimationFrame(() => hideCrowded(target)));
  target.dataset.drawn = 'yes';
  if (Object.keys(scores).length) {
    let waiting = 0;
    views[name].view.addSignalListener('brush', (_, brushed) => {
      clearTimeout(waiting);
      waiting = setTimeout(() => showBrushed(scores, brushed), 200);
    });
  }
}

function redraw(name) {
  const target = document.querySelector(`[data-chart="${name}"]`);
  if (target?.dataset.drawn) drawChart(target);
}

function startCharts() {
  const targets = [...document.querySelectorAll('[data-chart]')];
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) {
          observer.unobserve(target);
          drawChart(target);
        }
      }
    },
    { rootMargin: '300px' },
  );
  targets.forEach((target) => observer.observe(target));
  for (const select of document.querySelectorAll('[data-redraws]')) {
    let waiting = 0;
    select.addEventListener('input', () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => redraw(select.dataset.redraws), 120);
    });
  }
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    targets.filter(({ dataset }) => dataset.drawn).forEach(drawChart);
  });
}
