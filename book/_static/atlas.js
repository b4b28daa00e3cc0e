// A filter for the table of the atlas. Without it the page shows the whole table.
(() => {
  const place = document.getElementById("atlas-filter");
  const table = place && place.parentElement.querySelector("table");
  if (!table) return;
  const rows = [...table.tBodies[0].rows];
  const input = document.createElement("input");
  const label = document.createElement("label");
  const count = document.createElement("output");
  input.type = "search";
  input.placeholder = "inside, η out, keras …";
  label.append("Show rows with ", input);
  place.append(label, count);
  const text = rows.map((row) => row.textContent.toLowerCase());
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s*,\s*/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, i) => {
      row.hidden = !words.every((word) => text[i].includes(word));
      shown += !row.hidden;
    });
    count.textContent = words.length ? `${shown} of ${rows.length}` : "";
  };
  input.addEventListener("input", filter);
  filter();
})();
