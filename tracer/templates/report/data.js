// What there is to draw: page/data.rs packs it. Times are microseconds since the beginning.

/** What was packed. */
function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate")));
}

/** Processes and signals that know each other. */
function story(data) {
  const sums = (steps) => { let sum = 0; return steps.map((step) => (sum += step)); };
  const born = sums(data.lives.born);
  const lives = born.map((at, i) => {
    const of = (column) => data.lives[column][i];
    const flags = of("flags");
    return {
      place: i, lane: of("lane"), pid: of("pid"), inner: of("inner"), line: data.lines[of("line")] ?? "",
      names: [[at, data.names[of("name")]]], parents: [[at, of("parent")]], reaper: of("reaper"),
      born: at, died: of("died"), gone: of("gone"), status: data.names[of("status")] ?? "",
      isSeen: !!(flags & 1), isExact: !!(flags & 2), isOwed: !!(flags & 4), zombie: of("zombie"), isMissed: !!(flags & 8), isFound: !!(flags & 16),
      signals: [], marks: [],
    };
  });
  turns(data.renamed, (life, at, name) => lives[life].names.push([at, data.names[name]]));
  turns(data.moved, (life, at, parent) => lives[life].parents.push([at, parent]));
  const signals = sums(data.signals.at).map((at, i) => {
    const of = (column) => data.signals[column][i];
    return {
      at, from: of("from"), to: of("to"), name: data.signal_names[of("signal")], fate: data.fates[of("fate")],
      waited: of("waited"), isRoutine: !!of("routine"),
    };
  });
  for (const signal of signals) {
    lives[signal.to].signals.push(signal);
    if (signal.from >= 0 && signal.from !== signal.to) lives[signal.from].signals.push(signal);
  }
  for (const mark of data.marks) lives[mark.life].marks.push(mark);
  return { ...data, lives, signals, byKey: new Map(lives.map((life) => [key(life), life])) };
}

/** What a process is known by: pids are used again. */
function key(life) {
  return `${life.pid} ${life.born}`;
}

function turns([places, times, values], each) {
  places.forEach((place, i) => each(place, times[i], values[i]));
}

/** The value of the last turn up to a time. */
function valueAt(turns, at) {
  let value = turns[0][1];
  for (const [since, later] of turns) if (since <= at) value = later;
  return value;
}

/** When it left the process table, or ended if nobody has to reap it; the end of what is shown if it is still there. */
function until(story, life) {
  if (life.gone >= 0) return life.gone;
  return life.died >= 0 && !life.isOwed ? life.died : story.span;
}

/** `14:02:11.123`, in the time of the recording. */
function clock(story, at) {
  return new Date(story.began + at / 1000 + story.offset * 1000).toISOString().slice(11, 23);
}

/** `4.2 s`, as everywhere in tracer. */
function duration(us) {
  const s = us / 1e6;
  if (us < 1000) return `${Math.floor(us)} µs`;
  if (s < 1) return `${Math.floor(us / 1000)} ms`;
  if (s < 60) return `${(Math.floor(s * 10) / 10).toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.floor(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A process for a person. */
function who(story, life, at = Infinity) {
  const inner = life.inner ? `, pid ${life.inner} inside` : "";
  return `${valueAt(life.names, at)} (pid ${life.pid}${inner})`;
}

function laneName(story, life) {
  const lane = story.lanes[life.lane];
  return lane.kind === "host" ? "host" : `${lane.kind} ${lane.name}`;
}

function sender(story, signal) {
  if (signal.from >= 0) return who(story, story.lives[signal.from], signal.at);
  return signal.from === -1 ? "a sender that is not drawn or not known" : `the kernel (${story.kernel[-2 - signal.from]})`;
}

/** Lines about a signal. */
function aboutSignal(story, signal) {
  const when = signal.waited === -2 ? "when it was sent is not known; taken" : "sent";
  const waited = signal.waited >= 0 ? `, taken after ${duration(signal.waited)}` : "";
  const to = who(story, story.lives[signal.to], signal.at);
  return `${signal.name} from ${sender(story, signal)} to ${to}: ${signal.fate.id}\n${when} ${clock(story, signal.at)}${waited}`;
}

/** Lines about a process. */
function aboutLife(story, life) {
  const lines = [`${who(story, life)}, ${laneName(story, life)}`];
  const facts = [life.born < 0 ? `older than the ${story.is_run ? "tracing" : "recording"}` : `${life.isSeen ? "born" : "began"} ${clock(story, life.born)}`];
  if (life.died >= 0) {
    facts.push(`ended ${life.isExact ? "" : "before "}${clock(story, life.died)}${life.status ? `: ${life.status}` : ""}`);
    if (life.zombie >= 0 && until(story, life) - life.zombie >= 1000) {
      facts.push(`a zombie for ${life.isExact ? "" : "at least "}${duration(until(story, life) - life.zombie)}`);
    }
  }
  if (life.isMissed) facts.push(`found to be gone ${clock(story, life.gone)}`);
  else if (life.gone >= 0 && life.reaper >= 0) facts.push(`reaped by ${who(story, story.lives[life.reaper], life.gone)}`);
  if (life.gone < 0) {
    if (life.died < 0) facts.push(story.is_over ? "alive at the end" : "alive");
    else if (life.isOwed) facts.push(story.is_over ? "not reaped by the end" : "not reaped yet");
  }
  lines.push(facts.filter(Boolean).join(", "));
  if (life.line) lines.push(life.line);
  for (const mark of life.marks.slice(0, 2)) lines.push(`${mark.severity}: ${mark.headline}`);
  return lines.join("\n");
}
