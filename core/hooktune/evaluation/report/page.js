// The page is shown first. Then each chart is drawn once, one after the other and those in view
// before the others, as SVG in the page's own colours, so that it follows its scheme.
const waiting = new Set(document.querySelectorAll("[data-chart]"));
const idle = window.requestIdleCallback || ((work) => setTimeout(work, 50));

function loadLibrary() {
  const script = document.createElement("script");
  script.textContent = document.getElementById("chart-library").textContent;
  document.body.append(script);
}

function isInView(place) {
  const { top, bottom } = place.getBoundingClientRect();
  return bottom > 0 && top < window.innerHeight;
}

async function draw(place) {
  waiting.delete(place);
  const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
  try {
    await vegaEmbed(place, spec, { actions: false, renderer: "svg", ast: true, defaultStyle: false });
  } catch (error) {
    place.textContent = "This chart could not be drawn: " + error.message;
  }
}

async function drawNext() {
  if (!waiting.size) return;
  if (!window.vegaEmbed) loadLibrary();
  await draw([...waiting].find(isInView) || [...waiting][0]);
  idle(drawNext);
}

addEventListener("load", () => idle(drawNext));
// Paper does not wait.
addEventListener("beforeprint", () => {
  if (waiting.size && !window.vegaEmbed) loadLibrary();
  waiting.forEach(draw);
});
