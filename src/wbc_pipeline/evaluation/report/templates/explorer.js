/* Draws confusion matrices as tables, and the images behind the cell that was clicked. */
for (const explorer of document.querySelectorAll(".explorer")) {
  const {classes, images, runs} = JSON.parse(explorer.querySelector("script").textContent);
  const [variants, protocols] = explorer.querySelectorAll("select");
  const matrix = explorer.querySelector(".matrix");
  const behind = explorer.querySelector(".behind");

  const element = (name, text, properties = {}) =>
    Object.assign(document.createElement(name), {textContent: text}, properties);
  const distinct = (name) => [...new Set(runs.map((run) => run[name]))];
  const fill = (list, names) => list.replaceChildren(...names.map((name) => element("option", name)));

  function showImages(run, row, column) {
    const count = run.counts[row][column];
    const shown = run.examples.filter(([label, answer]) => label === row && answer === column);
    const verb = row === column ? "recognised as" : "taken for";
    const rest = shown.length < count ? `, ${shown.length || "none"} of them shown` : "";
    behind.replaceChildren(
      element("p", `${count} × ${classes[row]} ${verb} ${classes[column]}${rest}`),
      ...shown.map(([, , place, confidence]) => {
        const image = images[place];
        const figure = element("figure", "");
        figure.append(
          element("img", "", {src: `data:image/webp;base64,${image.webp}`, alt: image.name}),
          element("figcaption", `${Math.round(100 * confidence)} % sure`),
        );
        figure.title = `${image.name}\nfrom ${image.source}\nlabelled ${image.label}`;
        return figure;
      }),
    );
  }

  function draw() {
    const run = runs.find((each) => each.variant === variants.value && each.protocol === protocols.value);
    if (!run) {
      matrix.replaceChildren(element("caption", "This variant was not run under this protocol."));
      behind.replaceChildren();
      return;
    }
    const head = element("thead", "");
    const names = element("tr", "");
    names.append(element("th", "label ↓  answer →"));
    classes.forEach((name) => names.append(element("th", name.replaceAll("_", " "))));
    head.append(names);
    const body = element("tbody", "");
    run.counts.forEach((counts, row) => {
      const total = counts.reduce((sum, count) => sum + count, 0);
      const line = element("tr", "");
      line.append(element("th", classes[row].replaceAll("_", " ")));
      counts.forEach((count, column) => {
        const cell = element("td", "");
        const share = total ? count / total : 0;
        cell.style.setProperty("--share", share);
        cell.classList.toggle("dark", share > 0.55);
        if (count) {
          const button = element("button", count.toLocaleString("en"), {type: "button"});
          button.title = `${Math.round(100 * share)} % of ${classes[row]}`;
          button.addEventListener("click", () => {
            matrix.querySelector(".chosen")?.classList.remove("chosen");
            cell.classList.add("chosen");
            showImages(run, row, column);
          });
          cell.append(button);
        }
        line.append(cell);
      });
      body.append(line);
    });
    matrix.replaceChildren(head, body);
    /* the commonest mistake is open at once */
    let [most, where] = [0, null];
    run.counts.forEach((counts, row) => counts.forEach((count, column) => {
      if (row !== column && count > most) [most, where] = [count, [row, column]];
    }));
    if (where) {
      body.rows[where[0]].cells[where[1] + 1].classList.add("chosen");
      showImages(run, ...where);
    } else {
      behind.replaceChildren(element("p", "No mistake. Click a cell to see images behind it."));
    }
  }

  fill(variants, distinct("variant"));
  fill(protocols, distinct("protocol"));
  const preferred = runs.find((run) => run.protocol === "source");
  if (preferred) protocols.value = preferred.protocol;
  variants.addEventListener("change", draw);
  protocols.addEventListener("change", draw);
  draw();
}
