// Starts the page: charts at once, the gallery when its arrays are unpacked.

async function start() {
  if (meta) {
    await loadExamples();
    startGallery();
    startMap();
    await startReview();
  }
  startCharts();
  document.body.dataset.ready = 'yes';
}

start();
