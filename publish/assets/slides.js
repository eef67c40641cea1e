// Starts the slides. Before, where a text is a little too long for its slide, its letters are made a little smaller.
"use strict";

const HEIGHT = 720;
const SMALLEST = 0.7;

async function start() {
  await document.fonts.ready;
  for (const slide of document.querySelectorAll(".slides section section")) {
    for (let scale = 1; slide.scrollHeight > HEIGHT && scale > SMALLEST; ) {
      scale -= 0.05;
      slide.style.setProperty("--scale", scale);
    }
    if (slide.scrollHeight > HEIGHT) slide.dataset.tooLong = slide.scrollHeight;
  }
  document.body.classList.add("ready");
  await Reveal.initialize({
    width: 1280,
    height: HEIGHT,
    margin: 0.03,
    center: false,
    hash: true,
    transition: "none",
    navigationMode: "linear",
    slideNumber: "c/t",
    scrollActivationWidth: 0,
  });
}

start();
