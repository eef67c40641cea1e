// What a page does by itself: boxes that scroll can be reached by keyboard, animations stand still where that is
// asked for, and the sliders of a widget change its picture.
"use strict";

for (const box of document.querySelectorAll("pre, .katex-display, .table")) {
  if (box.scrollWidth > box.clientWidth + 1) {
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "scrolls sideways");
  }
}

if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
  for (const animation of document.querySelectorAll("details.animation")) animation.open = false;
}

for (const explorer of document.querySelectorAll(".live")) {
  const { choices, start, frames } = JSON.parse(explorer.dataset.frames);
  const labels = Object.values(choices);
  const sliders = [...explorer.querySelectorAll("input")];
  const image = explorer.querySelector("img");
  const folder = image.getAttribute("src").replace(/\/[^/]*$/, "");
  const frameAt = (places) => frames[places.join(",")];
  const say = () =>
    sliders.forEach((slider, i) => {
      const label = labels[i][slider.valueAsNumber];
      slider.setAttribute("aria-valuetext", label);
      slider.nextElementSibling.textContent = label;
    });
  const show = (moved) => {
    if (!frameAt(sliders.map((slider) => slider.valueAsNumber))) {
      sliders.forEach((slider, i) => slider === moved || (slider.value = start[i]));
    }
    const frame = frameAt(sliders.map((slider) => slider.valueAsNumber));
    image.src = `${folder}/${frame.file}`;
    image.alt = frame.alt;
    [image.width, image.height] = frame.size;
    explorer.querySelector("figcaption").textContent = frame.caption || frame.alt;
    say();
  };
  for (const slider of sliders) slider.addEventListener("input", () => show(slider));
  explorer.addEventListener("pointerenter", fetchAll, { once: true });
  explorer.addEventListener("focusin", fetchAll, { once: true });
  function fetchAll() {
    for (const frame of Object.values(frames)) new Image().src = `${folder}/${frame.file}`;
  }
}
