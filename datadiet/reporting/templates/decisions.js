// What a person decided about examples: kept in this browser by the data's
// fingerprint or, where `datadiet review` serves the page, in the workdir.

const KINDS = ['keep', 'relabel', 'drop', 'unsure'];
// example_index -> [kind, label], the label -1 but with relabel.
const decisions = new Map();
// Called after every change.
const onDecisions = [];
const storageKey = `datadiet-decisions-${meta?.fingerprint}`;
// Where decisions are read and sent; undefined for a page from a file.
const { decisions: served } = document.body.dataset;
// Changes that the server has not confirmed.
const unsent = new Map();
// Changes that the server does not allow: example_index -> why.
const refused = new Map();
// Changes a request; one after a refusal, which is of all of a request.
let batch = Infinity;
let isSending = false;
let tellStorage = () => {};

function readStored() {
  return JSON.parse(localStorage.getItem(storageKey) ?? '{}');
}

function takeDecisions(found) {
  decisions.clear();
  for (const [index, [kind, label]] of Object.entries(found)) {
    decisions.set(Number(index), [kind, label]);
  }
  for (const call of onDecisions) call();
}

async function loadDecisions() {
  try {
    if (served) {
      const response = await fetch(served);
      if (!response.ok) throw new Error(response.statusText);
      takeDecisions(await response.json());
      tellServed();
    } else {
      takeDecisions(readStored());
      tellStorage('Decisions are saved in this browser; download them to use them.');
    }
  } catch (error) {
    tellStorage(
      served
        ? `Decisions could not be read (${error.message}): is datadiet review still running? Load the page again.`
        : 'This browser saves nothing for pages from files: download the decisions before you leave.',
      true,
    );
  }
}

// Changes of other tabs are kept: only what was decided here is written.
function store(changes) {
  try {
    const stored = readStored();
    for (const [index, value] of changes) {
      if (value) stored[index] = value;
      else delete stored[index];
    }
    localStorage.setItem(storageKey, JSON.stringify(stored));
  } catch (error) {
    tellStorage(
      'This browser could not save the last decision: download the decisions before you leave.',
      true,
    );
  }
}

function tellServed() {
  if (!refused.size) {
    tellStorage('Every decision is saved in the workdir at once.');
    return;
  }
  const indices = [...refused.keys()];
  const more = indices.length > 10 ? ', ...' : '';
  tellStorage(
    `Refused and not saved in the workdir: what was decided on example ${indices.slice(0, 10).join(', ')}${more} (${refused.get(indices[0])}). Decide on it again.`,
    true,
  );
}

async function send() {
  if (isSending || !unsent.size) return;
  isSending = true;
  let isSaved = false;
  const sent = [...unsent].slice(0, batch);
  try {
    const response = await fetch(served, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(
        sent.map(([index, value]) => [index, ...(value ?? ['', -1])]),
      ),
    });
    const isRefused = response.status === 400;
    const answer = response.ok ? '' : await response.text();
    if (!response.ok && !isRefused) throw new Error(answer);
    batch = isRefused ? 1 : batch;
    if (!isRefused || sent.length === 1) {
      for (const [index, value] of sent) {
        if (unsent.get(index) !== value) continue; // Decided anew meanwhile.
        unsent.delete(index);
        if (isRefused) refused.set(index, answer);
      }
      tellServed();
    }
    if (!unsent.size) batch = Infinity;
    isSaved = true;
  } catch (error) {
    tellStorage(
      `${unsent.size} decisions are not saved in the workdir (${error.message}); trying again. Leave this page open, or download them.`,
      true,
    );
    setTimeout(send, 3000);
  }
  isSending = false;
  if (isSaved) send(); // What was decided meanwhile, or is sent one by one.
}

// Records decisions: [[index, [kind, label] or null], ...].
function decide(changes) {
  for (const [index, value] of changes) {
    if (value) decisions.set(index, value);
    else decisions.delete(index);
    refused.delete(index);
    if (served) unsent.set(index, value);
  }
  if (served) send();
  else store(changes);
  for (const call of onDecisions) call();
}

function countDecisions(indices = [...decisions.keys()]) {
  const counts = Object.fromEntries(KINDS.map((kind) => [kind, 0]));
  for (const index of indices) {
    const kind = decisions.get(index)?.[0];
    if (kind) counts[kind] += 1;
  }
  return counts;
}

function describeDecision(index) {
  const [kind, label] = decisions.get(index) ?? ['undecided'];
  return kind === 'relabel' ? `relabel to ${className(label)}` : kind;
}

function decisionsCsv() {
  const lines = ['example_index,id,decision,label,fingerprint'];
  for (const index of [...decisions.keys()].sort((a, b) => a - b)) {
    const [kind, label] = decisions.get(index);
    const name = kind === 'relabel' ? meta.class_names[label] : '';
    const cells = [index, examples.ids[index], kind, name, meta.fingerprint];
    lines.push(cells.map(csvCell).join(','));
  }
  return `${lines.join('\n')}\n`;
}

function startDecisions(tell) {
  tellStorage = tell;
  window.addEventListener('storage', ({ key }) => {
    if (!served && key === storageKey) takeDecisions(readStored());
  });
  window.addEventListener('beforeunload', (event) => {
    if (unsent.size || refused.size) event.preventDefault();
  });
  return loadDecisions();
}
