// What a page does by itself: boxes that scroll can be reached by keyboard, code can be copied, the contents follow the
// reader, all lessons can be searched, animations stand still where that is asked for, and the sliders of a widget change
// its picture. A page can be read without any of it.
"use strict";

for (const box of document.querySelectorAll("pre, .katex-display, .table")) {
  if (box.scrollWidth > box.clientWidth + 1) {
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "scrolls sideways");
  }
}

for (const code of navigator.clipboard ? document.querySelectorAll("main pre.code") : []) {
  const box = document.createElement("div");
  const button = document.createElement("button");
  box.className = "copied";
  button.type = "button";
  button.textContent = "Copy";
  code.replaceWith(box);
  box.append(code, button);
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  });
}

const links = new Map([...document.querySelectorAll(".contents li a")].map((link) => [link.hash.slice(1), link]));
const follow = () => {
  const passed = [...links.keys()].filter((id) => document.getElementById(id).getBoundingClientRect().top < 150);
  for (const [id, link] of links) {
    if (id === passed.at(-1)) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
};
addEventListener("scroll", follow, { passive: true });
follow();

const escaped = (text) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
const startSearch = (search) => {
  const found = search.querySelector(".found");
  search.hidden = false;
  const rank = (section, words) =>
    words.reduce((sum, word) => sum + 5 * section.heading.toLowerCase().split(word).length - 5, 0) +
    words.reduce((sum, word) => sum + Math.min(4, section.plain.split(word).length - 1), 0);
  const look = () => {
    const words = search.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
    found.hidden = words.join("").length < 2 || !window.COURSE;
    if (found.hidden) return;
    for (const section of COURSE) section.plain ??= `${section.heading} ${section.text}`.toLowerCase();
    const hits = COURSE.filter((section) => words.every((word) => section.plain.includes(word)));
    hits.sort((a, b) => rank(b, words) - rank(a, words));
    const said = hits.length === 1 ? "1 section" : `${hits.length} sections`;
    found.querySelector("p").textContent = hits.length > 12 ? `${said}; the best 12` : said;
    found.querySelector("ol").innerHTML = hits.slice(0, 12).map((hit) => shown(hit, words)).join("");
  };
  const shown = ({ page, title, heading, text }, words) => {
    const at = Math.max(0, text.toLowerCase().indexOf(words[0]) - 60);
    const marks = new RegExp(words.map((word) => escaped(word).replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|"), "gi");
    const excerpt = escaped(text.slice(at, at + 160)).replace(marks, "<mark>$&</mark>");
    return `<li><a href="${page}">${escaped(title)}: ${escaped(heading)}</a><p>${at ? "… " : ""}${excerpt} …</p></li>`;
  };
  search.addEventListener("focusin", () => {
    if (window.COURSE) return;
    const script = document.createElement("script"); // a script and no fetch: that works from a USB stick
    script.src = "search.js";
    script.addEventListener("load", look);
    document.head.append(script);
  }, { once: true });
  search.addEventListener("input", look);
  search.addEventListener("submit", (event) => {
    event.preventDefault();
    found.querySelector("a")?.click();
  });
  addEventListener("keydown", ({ key }) => key === "Escape" && (found.hidden = true));
  addEventListener("click", ({ target }) => search.contains(target) || (found.hidden = true));
};
document.querySelectorAll(".search").forEach(startSearch); // slides have none

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
