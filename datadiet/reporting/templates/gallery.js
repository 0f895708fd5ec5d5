// The gallery of examples: filters, order, pages, details and CSV.

const PAGE_SIZE = 60;
const form = document.getElementById('gallery-form');
// `only`: a flag for each example, where the map chose some; else null.
const gallery = { found: [], page: 0, shown: -1, only: null, onUpdate: [] };

function readFilters() {
  const data = new FormData(form);
  const text = (name) => data.get(name) ?? '';
  const number = (name) => (text(name) === '' ? null : Number(text(name)));
  // Scores are 32-bit floats: so is what they are compared with, as in pandas,
  // or an example's own score, copied, would not find it.
  const limit = (name) => (text(name) === '' ? null : Math.fround(text(name)));
  const range = (suffix) => ({
    score: Number(text(`score${suffix}`)),
    min: limit(`min${suffix}`),
    max: limit(`max${suffix}`),
  });
  return {
    classes: chosenClasses(form.elements.label),
    prediction: text('prediction'),
    selection: number('selection'),
    action: number('action'),
    kept: text('kept') !== 'dropped',
    ranges: [range('_a'), range('_b')],
    changed: data.has('changed'),
    issues: data.has('issues'),
    flag: text('flag'),
    text: text('text').trim().toLowerCase(),
    sort: number('sort'),
    descending: text('order') === 'descending',
  };
}

function makeTests(filters) {
  const { labels, predictions, original_labels: original } = examples;
  const tests = [];
  const { classes } = filters;
  if (classes) tests.push((i) => classes.has(labels[i]));
  if (filters.prediction === 'right') {
    tests.push((i) => predictions[i] === labels[i]);
  } else if (filters.prediction === 'wrong') {
    tests.push((i) => predictions[i] !== labels[i]);
  }
  if (filters.selection !== null) {
    const wanted = Number(filters.kept);
    tests.push((i) => isKept(filters.selection, i) === wanted);
  }
  if (filters.action !== null) {
    tests.push((i) => isIn(examples.action[filters.action], i));
  }
  for (const { score, min, max } of filters.ranges) {
    const values = examples.score[score];
    if (min !== null) tests.push((i) => values[i] >= min);
    if (max !== null) tests.push((i) => values[i] <= max);
  }
  if (filters.changed) tests.push((i) => original[i] !== labels[i]);
  if (gallery.only) tests.push((i) => gallery.only[i] === 1);
  if (filters.issues) tests.push((i) => examples.is_issue[i] === 1);
  if (filters.flag) {
    const bit = meta.flags.findIndex(({ name }) => name === filters.flag);
    tests.push((i) => ((examples.flags[i] >> bit) & 1) === 1);
  }
  if (filters.text) {
    const { text } = filters;
    tests.push(
      (i) => String(i) === text || examples.ids[i].toLowerCase().includes(text),
    );
  }
  return tests;
}

// Indices of the examples that pass, in the order asked for; equal scores by
// example_index, examples without a score last.
function findExamples(filters) {
  const tests = makeTests(filters);
  const found = [];
  for (let i = 0; i < meta.num_examples; i += 1) {
    if (tests.every((test) => test(i))) found.push(i);
  }
  const sign = filters.descending ? -1 : 1;
  if (filters.sort === null) {
    return filters.descending ? found.reverse() : found;
  }
  const values = examples.score[filters.sort];
  return found.sort((a, b) => {
    const difference = sign * (values[a] - values[b]);
    if (!Number.isNaN(difference)) return difference || a - b;
    const missing = Number.isNaN(values[a]) - Number.isNaN(values[b]);
    // Two infinities of one sign differ by NaN, too.
    return missing || a - b;
  });
}

function element(tag, text = '', name = '') {
  const made = document.createElement(tag);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function makeThumbnail(index) {
  const canvas = element('canvas', '', 'thumbnail');
  canvas.setAttribute('aria-hidden', 'true');
  drawThumbnail(canvas, index);
  return canvas;
}

function makeCard(index, sort) {
  const card = element('button', '', 'card');
  card.type = 'button';
  card.dataset.index = index;
  if (meta.thumbnails) card.append(makeThumbnail(index));
  const label = examples.labels[index];
  card.append(element('span', `${index}: ${className(label)}`));
  const predicted = examples.predictions?.[index];
  if (predicted !== undefined && predicted !== label) {
    card.append(element('span', `predicted ${className(predicted)}`, 'wrong'));
  }
  if (sort !== null) {
    const value = short(examples.score[sort][index]);
    card.append(element('span', `${meta.scores[sort].name} ${value}`));
  }
  card.addEventListener('click', () => showDetails(index));
  const item = document.createElement('li');
  item.append(card);
  return item;
}

const numPages = () => Math.max(1, Math.ceil(gallery.found.length / PAGE_SIZE));

function showPage(page) {
  gallery.page = Math.min(Math.max(0, page), numPages() - 1);
  const start = gallery.page * PAGE_SIZE;
  const indices = gallery.found.slice(start, start + PAGE_SIZE);
  const { sort } = readFilters();
  const cards = indices.map((index) => makeCard(index, sort));
  document.getElementById('gallery').replaceChildren(...cards);
  document.getElementById('page').value = gallery.page + 1;
  document.getElementById('page').max = numPages();
  document.getElementById('num-pages').textContent = `of ${numPages()}`;
  const isFirst = gallery.page === 0;
  const isLast = gallery.page === numPages() - 1;
  document.getElementById('page-first').disabled = isFirst;
  document.getElementById('page-before').disabled = isFirst;
  document.getElementById('page-next').disabled = isLast;
  document.getElementById('page-last').disabled = isLast;
}

function updateGallery() {
  gallery.found = findExamples(readFilters());
  const count = gallery.found.length.toLocaleString('en');
  const total = meta.num_examples.toLocaleString('en');
  document.getElementById('gallery-count').textContent =
    `${count} of ${total} examples${gallery.only ? ', of the box on the map' : ''}`;
  showPage(0);
  for (const call of gallery.onUpdate) call();
}

// Sets fields of the form, after resetting it, and shows what is found.
function showInGallery(fields, { scroll = true } = {}) {
  form.reset();
  for (const [name, value] of Object.entries(fields)) {
    const field = form.elements[name];
    if (!field) continue;
    if (field.type === 'checkbox') field.checked = value;
    else field.value = value;
  }
  updateGallery();
  if (scroll) document.getElementById('examples').scrollIntoView();
}

const flagsOf = (index) =>
  meta.flags
    .filter((flag, bit) => (examples.flags[index] >> bit) & 1)
    .map(({ name }) => name);

function detailRows(index) {
  const { labels, predictions, original_labels: original } = examples;
  const rows = [
    ['example_index', index],
    ['id', examples.ids[index]],
    ['label', className(labels[index])],
  ];
  if (original) rows.push(['original label', className(original[index])]);
  if (predictions) rows.push(['predicted', className(predictions[index])]);
  if (examples.suggested_labels) {
    const suggested = examples.suggested_labels[index];
    rows.push(['suggested label', className(suggested)]);
  }
  const flags = flagsOf(index);
  if (flags.length) rows.push(['flags', flags.join(', ')]);
  meta.scores.forEach(({ name }, score) => {
    const values = examples.score[score];
    const below = values.reduce((sum, value) => sum + (value < values[index]), 0);
    const share = Math.round((100 * below) / meta.num_examples);
    const note = Number.isNaN(values[index]) ? '' : ` (above ${share} %)`;
    rows.push([name, short(values[index]) + note]);
  });
  meta.selections.forEach(({ name, num_draws: draws }, selection) => {
    const kept = isKept(selection, index) ? 'kept' : 'dropped';
    rows.push([name, draws > 1 ? `${kept} in the first draw` : kept]);
  });
  return rows;
}

function showDetails(index) {
  gallery.shown = gallery.found.indexOf(index);
  const dialog = document.getElementById('details');
  document.getElementById('details-title').textContent = `Example ${index}`;
  const image = document.getElementById('details-image');
  const hasImage = meta.thumbnails && examples.thumbnail_slot[index] >= 0;
  image.replaceChildren(
    hasImage
      ? makeThumbnail(index)
      : element('p', 'There is no thumbnail of this example.', 'faint'),
  );
  if (originals) {
    const path = examples.ids[index].split('/').map(encodeURIComponent).join('/');
    const link = element('a', 'original file');
    link.href = originals + path;
    image.append(link);
  }
  const rows = detailRows(index).map(([name, value]) => {
    const row = document.createElement('tr');
    const head = element('th', name);
    head.scope = 'row';
    row.append(head, element('td', value));
    return row;
  });
  document.getElementById('details-rows').replaceChildren(...rows);
  document.getElementById('details-before').disabled = gallery.shown <= 0;
  document.getElementById('details-next').disabled =
    gallery.shown >= gallery.found.length - 1;
  if (!dialog.open) dialog.showModal();
}

function csvCell(value) {
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function makeCsv(indices) {
  const columns = [
    ['example_index', (i) => i],
    ['id', (i) => examples.ids[i]],
    ['label', (i) => examples.labels[i]],
  ];
  for (const [name, title] of [
    ['predictions', 'prediction'],
    ['original_labels', 'original_label'],
    ['suggested_labels', 'suggested_label'],
  ]) {
    const labels = examples[name];
    if (labels) columns.push([title, (i) => (labels[i] < 0 ? '' : labels[i])]);
  }
  const { is_issue: isIssue } = examples;
  if (isIssue) columns.push(['is_issue', (i) => isIssue[i]]);
  if (meta.flags.length) columns.push(['flags', (i) => flagsOf(i).join(';')]);
  meta.scores.forEach(({ name }, score) => {
    const values = examples.score[score];
    columns.push([name, (i) => (Number.isNaN(values[i]) ? '' : exact(values[i]))]);
  });
  const lines = [columns.map(([title]) => csvCell(title)).join(',')];
  for (const i of indices) {
    lines.push(columns.map(([, read]) => csvCell(read(i))).join(','));
  }
  return `${lines.join('\n')}\n`;
}

function download(name, text) {
  const blob = new Blob([text], { type: 'text/csv' });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

async function copyCsv() {
  const note = document.getElementById('copy-note');
  try {
    await navigator.clipboard.writeText(makeCsv(gallery.found));
    note.textContent = `Copied ${gallery.found.length} rows.`;
  } catch (error) {
    note.textContent = 'The browser refused to copy; download instead.';
  }
}

function startGallery() {
  let waiting = 0;
  form.addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(updateGallery, 120);
  });
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('reset', () => setTimeout(updateGallery));
  const onClick = (id, action) =>
    document.getElementById(id).addEventListener('click', action);
  onClick('page-first', () => showPage(0));
  onClick('page-before', () => showPage(gallery.page - 1));
  onClick('page-next', () => showPage(gallery.page + 1));
  onClick('page-last', () => showPage(numPages() - 1));
  document.getElementById('page').addEventListener('change', (event) => {
    showPage(Math.trunc(event.target.value) - 1 || 0);
  });
  onClick('csv-copy', copyCsv);
  onClick('csv-download', () => download('examples.csv', makeCsv(gallery.found)));
  onClick('details-close', () => document.getElementById('details').close());
  const move = (step) => showDetails(gallery.found[gallery.shown + step]);
  onClick('details-before', () => move(-1));
  onClick('details-next', () => move(1));
  for (const canvas of document.querySelectorAll('[data-thumbnail]')) {
    drawThumbnail(canvas, Number(canvas.dataset.thumbnail));
  }
  for (const button of document.querySelectorAll('[data-show]')) {
    button.addEventListener('click', () => {
      const { example } = button.dataset;
      showInGallery(JSON.parse(button.dataset.show), { scroll: example === undefined });
      if (example !== undefined) showDetails(Number(example));
    });
  }
  updateGallery();
}
