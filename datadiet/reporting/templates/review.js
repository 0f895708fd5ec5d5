// Going through examples by keyboard: keep, relabel, drop, unsure, undo.

const review = { queue: [], at: 0, undo: [], clean: new Map() };
const part = (name) => document.getElementById(`review-${name}`);
const current = () => review.queue[review.at];

function suspects() {
  const suspicion = examples.score[scoreIndex('suspicion')];
  if (!suspicion) return [];
  const all = [...suspicion.keys()].filter((i) => !Number.isNaN(suspicion[i]));
  all.sort((a, b) => suspicion[b] - suspicion[a] || a - b);
  const issues = all.filter((i) => examples.is_issue[i]);
  // Where none is declared wrong, the most suspicious are worth a look.
  return issues.length ? issues : all.slice(0, 100);
}

function suggestion(index) {
  const { suggested_labels: suggested, predictions, labels } = examples;
  const label = suggested?.[index] ?? predictions?.[index] ?? -1;
  return label === labels[index] ? -1 : label;
}

function originalUri(index) {
  return originals + examples.ids[index].split('/').map(encodeURIComponent).join('/');
}

function showPicture(index) {
  const box = part('picture');
  const drawn = hasPicture(index) && meta.thumbnails
    ? makeThumbnail(index)
    : element('p', 'There is no thumbnail of this example.', 'faint');
  box.replaceChildren(drawn);
  if (!originals || location.protocol !== 'file:') return;
  // The thumbnail stays where the file is gone.
  const image = new Image();
  image.alt = '';
  image.onload = () => {
    if (index === current()) box.replaceChildren(image);
  };
  image.src = originalUri(index);
}

function showFacts(index) {
  const [score] = cleanliness();
  const suggested = suggestion(index);
  const facts = [
    ['given label', className(examples.labels[index])],
    ['suggested', suggested < 0 ? 'no other' : className(suggested)],
    [meta.scores[score].name, short(examples.score[score][index])],
    ['example', `${index}, ${examples.ids[index]}`],
    ['decision', describeDecision(index)],
  ];
  part('facts').replaceChildren(
    ...facts.map(([name, value]) => {
      const box = document.createElement('div');
      box.append(element('dt', name), element('dd', value));
      return box;
    }),
  );
}

function showProgress() {
  const done = review.queue.filter((index) => decisions.has(index)).length;
  const counts = countDecisions(review.queue);
  const total = review.queue.length;
  part('bar').max = total;
  part('bar').value = done;
  part('which').textContent = `Example ${review.at + 1} of ${total}`;
  part('progress').textContent = `${done} of ${total} decided: ${KINDS.map(
    (kind) => `${counts[kind]} ${kind}`,
  ).join(', ')}`;
  part('undo').disabled = !review.undo.length;
  part('before').disabled = review.at === 0;
  part('after').disabled = review.at === total - 1;
  part('next').disabled = [-1, review.at].includes(nextUndecided());
}

function show(at) {
  review.at = Math.min(Math.max(0, at), review.queue.length - 1);
  const index = current();
  const given = examples.labels[index];
  const suggested = suggestion(index);
  showPicture(index);
  showFacts(index);
  const [heading, near] = nearest(index);
  const rows = [row(heading, near, given), cleanRow(given, 'given')];
  if (suggested >= 0) rows.push(cleanRow(suggested, 'suggested'));
  part('beside').replaceChildren(...rows);
  loadAhead();
  const kind = decisions.get(index)?.[0];
  part('keep').querySelector('span').textContent = `Keep ${className(given)}`;
  part('take').disabled = suggested < 0;
  part('take').querySelector('span').textContent =
    suggested < 0 ? 'No suggestion' : `Relabel to ${className(suggested)}`;
  for (const [name, of] of [['keep', 'keep'], ['drop', 'drop'], ['unsure', 'unsure']]) {
    part(name).setAttribute('aria-pressed', String(kind === of));
  }
  part('take').setAttribute(
    'aria-pressed',
    String(kind === 'relabel' && decisions.get(index)[1] === suggested),
  );
  for (const button of part('classes').children) {
    const label = Number(button.dataset.label);
    const isChosen = kind === 'relabel' && decisions.get(index)[1] === label;
    button.setAttribute('aria-pressed', String(isChosen));
  }
  showProgress();
}

function say(text) {
  part('said').textContent = text;
}

// The next undecided example after this one, from the start again at the end.
function nextUndecided() {
  const { queue, at } = review;
  for (let step = 1; step <= queue.length; step += 1) {
    const place = (at + step) % queue.length;
    if (!decisions.has(queue[place])) return place;
  }
  return -1;
}

function sayAllDecided() {
  let todo = 'Close, and download the decisions.';
  if (served) {
    todo = unsent.size || refused.size
      ? 'They are not all saved yet.'
      : 'They are saved in the workdir. Close.';
  }
  say(`All are decided. ${todo}`);
}

function goOn() {
  const place = nextUndecided();
  if (place < 0) {
    show(review.at);
    sayAllDecided();
  } else show(place);
}

function record(kind, label = -1) {
  const index = current();
  const value = label === examples.labels[index] ? ['keep', -1] : [kind, label];
  review.undo.push([index, decisions.get(index) ?? null]);
  decide([[index, value]]);
  say(`Example ${index}: ${describeDecision(index)}.`);
  goOn();
}

function undo() {
  const last = review.undo.pop();
  if (!last) return;
  const [index] = last;
  decide([last]);
  if (!review.queue.includes(index)) review.queue.splice(review.at, 0, index);
  show(review.queue.indexOf(index));
  say(`Undone: example ${index} is ${describeDecision(index)}.`);
}

// The class that a text names, or begins to name; -1 if it is none, or several.
function classNamed(text) {
  const wanted = text.trim().toLowerCase();
  const names = meta.class_names.map((name) => name.toLowerCase());
  const exactly = names.indexOf(wanted);
  if (exactly >= 0 || !wanted) return exactly;
  const begun = [...names.keys()].filter((i) => names[i].startsWith(wanted));
  return begun.length === 1 ? begun[0] : -1;
}

function relabelTyped() {
  const field = part('class');
  const label = classNamed(field.value);
  if (label < 0) {
    say(`“${field.value}” names no class, or several.`);
    return;
  }
  field.value = '';
  part('dialog').focus();
  record('relabel', label);
}

const SHORTCUTS = {
  k: () => record('keep'),
  s: () => part('take').disabled || record('relabel', suggestion(current())),
  r: () => part('class').focus(),
  d: () => record('drop'),
  u: () => record('unsure'),
  z: undo,
  n: goOn,
  arrowleft: () => show(review.at - 1),
  arrowright: () => show(review.at + 1),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === part('class')) {
    if (event.key === 'Enter') relabelTyped();
    // The first Escape leaves the field alone.
    if (event.key === 'Escape') part('dialog').focus();
    if (['Enter', 'Escape'].includes(event.key)) event.preventDefault();
    return;
  }
  const digit = part('classes').querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  const action = digit
    ? () => record('relabel', Number(digit.dataset.label))
    : SHORTCUTS[event.key.toLowerCase()];
  if (!action) return;
  event.preventDefault();
  // A key held down moves, but decides once.
  if (event.repeat && !event.key.startsWith('Arrow')) return;
  action();
}

function openReview(indices) {
  if (!indices.length) return;
  review.queue = [...indices];
  review.undo = [];
  review.at = -1;
  const place = nextUndecided();
  part('dialog').showModal();
  part('dialog').focus();
  say('');
  show(Math.max(0, place));
}

function showSection() {
  const queue = review.suspects;
  const left = queue.filter((index) => !decisions.has(index)).length;
  const verb = left < queue.length ? 'Go on with' : 'Review';
  part('start').textContent = `${verb} the suspects (${left} of ${queue.length} undecided)`;
  part('start').disabled = !queue.length;
  const counts = countDecisions();
  part('counts').textContent = decisions.size
    ? `${decisions.size} decided: ${KINDS.map((kind) => `${counts[kind]} ${kind}`).join(', ')}.`
    : 'Nothing is decided yet.';
  part('download').disabled = !decisions.size;
}

async function startReview() {
  const { neighbour_of: rows } = examples;
  if (rows) review.rows = new Map([...rows].map((index, place) => [index, place]));
  review.suspects = suspects();
  onDecisions.push(showSection);
  const onClick = (name, action) => part(name).addEventListener('click', action);
  onClick('start', () => openReview(review.suspects));
  onClick('gallery', () => openReview(gallery.found));
  onClick('download', () => download('decisions.csv', decisionsCsv()));
  for (const [name, key] of [
    ['keep', 'k'], ['take', 's'], ['drop', 'd'], ['unsure', 'u'], ['undo', 'z'],
    ['before', 'arrowleft'], ['after', 'arrowright'], ['next', 'n'],
  ]) onClick(name, SHORTCUTS[key]);
  onClick('relabel', relabelTyped);
  onClick('close', () => part('dialog').close());
  for (const button of part('classes').children) {
    button.addEventListener('click', () => record('relabel', Number(button.dataset.label)));
  }
  part('dialog').addEventListener('keydown', onKey);
  part('dialog').addEventListener('close', updateGallery);
  await startDecisions((text, isWrong = false) => {
    for (const name of ['storage', 'stored']) {
      part(name).textContent = text;
      part(name).classList.toggle('wrong', isWrong);
    }
    if (part('said').textContent.startsWith('All are decided.')) sayAllDecided();
  });
  showSection();
}
