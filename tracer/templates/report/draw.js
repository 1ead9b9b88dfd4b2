// How processes and signals look. Each kind has a shape as well as a colour.

const ROW = 15;
const HEAD = 22;
/** As many signals at a time get a line from their sender. */
const LINES = 300;

/** The colours of the page, light, dark or printed. */
function palette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["paper", "raised", "ink", "soft", "line", "error", "warning", "info", "good", "life", "zombie", "gap"];
  const colours = Object.fromEntries(names.map((name) => [name, colour(name)]));
  const fate = { taken: "good", waits: "warning", ignored: "soft", lost: "error", late: "soft" };
  return { ...colours, fate: (kind) => colours[fate[kind]], mono: "11px ui-monospace, Menlo, Consolas, monospace" };
}

/** A canvas as large as it is shown, on any screen. */
function surface(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** How urgent it is to look at a process: 0 is most urgent, 4 is one that only is there. */
function urgency(life) {
  for (const [rank, severity] of ["error", "warning"].entries()) {
    if (life.marks.some((mark) => mark.severity === severity)) return rank;
  }
  if (life.isFound) return 2;
  const isIdle = life.born < 0 && life.died < 0 && life.gone < 0 && life.signals.every((signal) => signal.isRoutine);
  return isIdle ? 4 : 3;
}

/** Places processes in rows: a lane for each container; what is most urgent is on top, of lanes and in each. */
function layout(story) {
  const lanes = story.lanes.map((lane) => ({ lane, groups: [[], [], [], [], []] }));
  for (const life of story.lives) lanes[life.lane].groups[urgency(life)].push(life);
  const first = ({ groups }) => Math.min(2, groups.findIndex((group) => group.length));
  lanes.sort((one, other) => first(one) - first(other));
  const rows = [];
  const heads = [];
  let top = 0;
  for (const { lane, groups } of lanes) {
    heads.push({ lane, top, count: groups.flat().length });
    top += HEAD;
    for (const group of groups) {
      const open = [];
      for (const life of group) {
        let row = open.find((row) => row.end <= life.born);
        if (!row) {
          row = { top, lives: [], end: 0 };
          top += ROW;
          open.push(row);
          rows.push(row);
        }
        row.lives.push(life);
        row.end = Math.max(until(story, life), life.born + (story.span - story.from) / 200);
        life.row = row;
      }
    }
    top += 6;
  }
  return { rows, heads, height: top };
}

/** Text that no name in it can turn around. With a rim it can be read on stripes and lines. */
function write(context, text, x, y, most, rim) {
  let shown = text;
  if (most !== undefined) {
    const fits = Math.floor(most / 6.7);
    if (fits < 3) return;
    if (shown.length > fits) shown = `${shown.slice(0, fits - 1)}…`;
  }
  shown = `\u202d${shown}\u202c`;
  if (rim) {
    context.strokeStyle = rim;
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeText(shown, x, y);
  }
  context.fillText(shown, x, y);
}

function drawLife(context, colours, story, life, scale, y, isChosen) {
  const [x, end] = [scale(life.born), Math.max(scale(until(story, life)), scale(life.born) + 2)];
  const died = life.zombie >= 0 ? Math.min(Math.max(scale(life.zombie), x), end) : end;
  context.fillStyle = colours.life;
  context.fillRect(x, y + 2, Math.max(died - x, 1.5), ROW - 4);
  if (end > died) hatch(context, colours, died, y + 2, Math.max(end - died, 2), ROW - 4);
  if (isChosen) {
    context.strokeStyle = colours.ink;
    context.lineWidth = 2;
    context.strokeRect(x - 1, y + 1, end - x + 2, ROW - 2);
  }
  context.fillStyle = colours.ink;
  const name = life.names[life.names.length - 1][1];
  const left = Math.max(x, 0) + 3;
  if (life.isFound && end > 0 && end - left < 40) write(context, name, end + 4, y + ROW - 4, undefined, colours.paper);
  else write(context, name, left, y + ROW - 4, end - left, end > died ? colours.paper : undefined);
}

/** Stripes: a zombie can be told without colours. */
function hatch(context, colours, x, y, width, height) {
  const left = Math.max(x, -height);
  const right = Math.min(x + width, context.canvas.width);
  if (right <= left) return;
  context.save();
  context.beginPath();
  context.rect(left, y, right - left, height);
  context.fillStyle = colours.paper;
  context.fill();
  context.clip();
  context.strokeStyle = colours.zombie;
  context.lineWidth = 2;
  context.beginPath();
  for (let at = left - height; at < right; at += 5) {
    context.moveTo(at, y + height);
    context.lineTo(at + height, y);
  }
  context.stroke();
  context.strokeRect(left, y, right - left, height);
  context.restore();
}

function drawSignal(context, colours, signal, x, y, from) {
  const kind = signal.fate.class;
  context.strokeStyle = context.fillStyle = colours.fate(kind);
  if (from !== undefined && from !== y) {
    context.lineWidth = 1;
    context.setLineDash(kind === "taken" ? [] : kind === "lost" ? [5, 3] : [2, 3]);
    context.beginPath();
    context.moveTo(x, from);
    context.lineTo(x, y);
    context.stroke();
    context.setLineDash([]);
    // Where it came from, and which way it went.
    context.fillRect(x - 2, from - 1.5, 4, 3);
    const step = y > from ? -7 : 7;
    context.beginPath();
    context.moveTo(x - 3, y + step * 1.6);
    context.lineTo(x, y + step);
    context.lineTo(x + 3, y + step * 1.6);
    context.stroke();
  }
  context.lineWidth = 2;
  context.beginPath();
  if (kind === "taken") context.arc(x, y, 4, 0, 7);
  else if (kind === "ignored") context.arc(x, y, 3.5, 0, 7);
  else if (kind === "waits") polygon(context, [[x, y - 5], [x + 5, y], [x, y + 5], [x - 5, y]]);
  else if (kind === "lost") strokes(context, [[x - 4.5, y - 4.5, x + 4.5, y + 4.5], [x - 4.5, y + 4.5, x + 4.5, y - 4.5]]);
  else strokes(context, [[x - 4, y, x + 4, y]]);
  if (kind === "taken" || kind === "waits") context.fill();
  else {
    context.lineWidth = kind === "lost" ? 3 : 2;
    context.stroke();
  }
}

/** A triangle above the process: full for errors and warnings. */
function drawMark(context, colours, mark, x, y) {
  context.fillStyle = context.strokeStyle = colours[mark.severity];
  context.lineWidth = 1.5;
  context.beginPath();
  polygon(context, [[x, y - 1], [x + 5, y - 9], [x - 5, y - 9]]);
  if (mark.severity === "info") context.stroke();
  else context.fill();
}

function polygon(context, points) {
  points.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
}

function strokes(context, lines) {
  for (const [x1, y1, x2, y2] of lines) {
    context.moveTo(x1, y1);
    context.lineTo(x2, y2);
  }
}
