// Each chart is drawn once, as SVG in the page's own colours, so that it follows its scheme.
for (const place of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
  vegaEmbed(place, spec, { actions: false, renderer: "svg", ast: true, defaultStyle: false }).catch((error) => {
    place.textContent = "This chart could not be drawn: " + error.message;
  });
}
