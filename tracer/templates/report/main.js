// Puts the drawings on the page; without them it is complete.

async function main() {
  const story = await unpack();
  document.getElementById("time-body").hidden = false;
  document.getElementById("tree-body").hidden = false;
  const timeline = new Timeline(story);
  const tree = new Tree(story, (moment) => {
    timeline.moment = moment;
    timeline.redraw();
  });
  // Of interest is the moment of what stands first on the page.
  const first = document.querySelector("ol.lead a")?.hash.slice(1);
  const mark = story.marks.find((mark) => mark.anchor === first);
  if (mark) tree.moment = mark.at;
  const drawn = new Set(story.marks.map((mark) => mark.anchor));
  for (const button of document.querySelectorAll("button.show")) {
    button.hidden = !drawn.has(button.dataset.finding);
    button.addEventListener("click", () => {
      timeline.show(button.dataset.finding);
      tree.moment = story.marks.find((mark) => mark.anchor === button.dataset.finding).at;
    });
  }
}

main().catch((error) => {
  const broken = document.getElementById("broken");
  broken.textContent = `The time line cannot be drawn in this browser: ${error}`;
  broken.hidden = false;
});
