// What is shown beside an example in a review: neighbours, clean examples.

const NUM_BESIDE = 8;
// Clean examples of a class are taken from this share, the least suspicious.
const CLEAN_SHARE = 0.3;

// [score, sign]: examples are cleaner where sign * score is lower.
function cleanliness() {
  const suspicion = scoreIndex('suspicion');
  if (suspicion >= 0) return [suspicion, 1];
  const score = Number(form.elements.sort.value);
  return [score, meta.scores[score].higher_is === 'easier' ? -1 : 1];
}

const hasPicture = (index) =>
  !meta.thumbnails || examples.thumbnail_slot[index] >= 0;

// Clean examples of a class, spread evenly over the cleanest.
function cleanExamples(label) {
  const [score, sign] = cleanliness();
  const values = examples.score[score];
  const members = [...values.keys()].filter(
    (i) => examples.labels[i] === label && values[i] === values[i] && hasPicture(i),
  );
  members.sort((a, b) => sign * (values[a] - values[b]) || a - b);
  const share = Math.max(NUM_BESIDE, Math.floor(CLEAN_SHARE * members.length));
  const clean = members.slice(0, share);
  const step = Math.max(1, clean.length / NUM_BESIDE);
  const chosen = [];
  for (let i = 0; i < clean.length && chosen.length < NUM_BESIDE; i += step) {
    chosen.push(clean[Math.floor(i)]);
  }
  return chosen;
}

// The labels of examples, the most frequent first: 'cat (5), dog (3)'.
function labelsOf(indices) {
  const counts = new Map();
  for (const index of indices) {
    const label = examples.labels[index];
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  return sorted.map(([label, count]) => `${className(label)} (${count})`).join(', ');
}

// What lies nearest: [heading, indices].
function nearest(index) {
  const row = review.rows?.get(index);
  if (row !== undefined) {
    const width = examples.neighbours.length / review.rows.size;
    const start = row * width;
    const found = [...examples.neighbours.subarray(start, start + width)];
    return [`Nearest by embedding: ${labelsOf(found)}`, found];
  }
  const [score] = cleanliness();
  const values = examples.score[score];
  const label = examples.labels[index];
  const others = [...values.keys()].filter(
    (i) => i !== index && examples.labels[i] === label && hasPicture(i),
  );
  const away = (i) => Math.abs(values[i] - values[index]);
  others.sort((a, b) => away(a) - away(b) || a - b);
  return [
    `Of the same class, nearest by ${meta.scores[score].name}`,
    others.slice(0, NUM_BESIDE),
  ];
}

function picture(index, given) {
  const item = document.createElement('li');
  if (meta.thumbnails) item.append(makeThumbnail(index));
  const label = examples.labels[index];
  const name = element('span', className(label), label === given ? '' : 'wrong');
  item.append(name);
  return item;
}

function row(heading, indices, given) {
  const box = document.createElement('div');
  const list = element('ul', '', 'beside');
  list.setAttribute('aria-label', heading);
  list.append(...indices.map((index) => picture(index, given)));
  box.append(element('h4', heading), list);
  return box;
}

// A class's clean examples, drawn once.
function cleanRow(label, why) {
  if (!review.clean.has(label)) {
    review.clean.set(label, row('', cleanExamples(label), label));
  }
  const made = review.clean.get(label);
  const heading = `Clean examples of ${className(label)} (${why})`;
  made.querySelector('h4').textContent = heading;
  made.querySelector('ul').setAttribute('aria-label', heading);
  return made;
}

// Loads the images of what probably comes next.
function loadAhead() {
  const place = nextUndecided();
  if (place < 0 || !meta.thumbnails) return;
  const next = review.queue[place];
  for (const index of [next, ...nearest(next)[1]]) {
    const slot = examples.thumbnail_slot[index];
    if (slot >= 0) loadSheet(Math.floor(slot / meta.thumbnails.tiles ** 2));
  }
}
