// The page of a recording.

async function main() {
  const drawings = new Drawings(story(await unpack(document.getElementById("data").textContent).json()), () => {});
  // Of interest is the moment of what stands first on the page.
  const first = document.querySelector("ol.lead a")?.hash.slice(1);
  const mark = drawings.marks.get(first);
  if (mark) drawings.tree.moment = mark.at;
}

main().catch(broken);
