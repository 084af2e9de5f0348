// The old system: one agent that reads an issue, changes the project and opens a pull request.
//
//     node examples/agents/baseline.mjs --port 8401 --tracker http://127.0.0.1:8403
//
// It takes the first group of words that occurs anywhere for the label, changes files by replacing
// text, and never builds what it changed: that is what the new agents are to do better.
// `POST /work`, `GET /issues` and `POST /fault` are those of examples/agents/candidate.py.

import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { timingSafeEqual } from "node:crypto";
import { parseArgs, promisify } from "node:util";

const NAME = "baseline";
const AT_ONCE = 2;
const SLOW_MILLISECONDS = 4000;
const MOST_BODY = 1 << 20;
const FAULTS = ["none", "old-errors", "old-slow"];
const WORDS = {
  bug: ["error", "crash", "traceback", "broken", "fails", "exception", "regression"],
  feature: ["add", "deliver", "support", "would be nice", "feature", "please allow", "raise", "lower"],
  docs: ["documentation", "readme", "typo", "example", "docs"],
  question: ["how do i", "how to", "why does", "is it possible", "?"],
};
// nobody's own settings; what is cloned is on this machine
const GIT = {
  ...process.env, GIT_CONFIG_GLOBAL: "/dev/null", GIT_CONFIG_NOSYSTEM: "1",
  GIT_TERMINAL_PROMPT: "0", no_proxy: "127.0.0.1",
};

const { values: options } = parseArgs({
  options: { port: { type: "string" }, tracker: { type: "string" } },
});
const tracker = options.tracker ?? process.env.SERVICE_TRACKER_URL ?? "http://127.0.0.1:8403";
const known = new Map(); // what this agent knows of each issue that it was given under a claim
let fault = "none";
let count = 0;
let cloned; // a promise of the folder with our own clone
let working = 0;
const waiting = [];

const run = promisify(execFile);
const git = async (folder, ...words) =>
  (await run("git", words, { cwd: folder, env: GIT, timeout: 30_000 })).stdout;

/** An answer other than 200. */
class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

function label(title, body) {
  const text = `${title}\n${body}`.toLowerCase();
  for (const [name, words] of Object.entries(WORDS)) {
    if (words.some((word) => text.includes(word))) return { label: name, confidence: 0.5 };
  }
  return { label: "question", confidence: 0.2 };
}

/** What was filled in, by heading; as it stands there. */
function form(body) {
  const parts = body.split(/^###\s+(.+?)\s*$/m);
  const found = {};
  for (let at = 1; at + 1 < parts.length; at += 2) {
    found[parts[at].toLowerCase()] = parts[at + 1].trim();
  }
  return found;
}

/** Change the working copy as a form asks; text for text. */
async function change(folder, asked) {
  const edit = async (path, edited) => {
    const file = join(folder, path);
    await writeFile(file, edited(await readFile(file, "utf8")));
  };
  if (asked.country && asked.zone) {
    const row = `    "${asked.country}": ${asked.zone},\n}`;
    await edit("parcels/zones.py", (text) => text.replace(/}\s*$/, `${row}\n`));
  } else if (asked.setting && asked.value) {
    await edit("parcels/settings.py", (text) => {
      const old = text.match(new RegExp(`^${asked.setting} = (\\d+)$`, "m"));
      // whatever has the old value gets the new one
      return old ? text.replaceAll(` = ${old[1]}\n`, ` = ${asked.value}\n`) : text;
    });
  } else if (asked.wrong && asked.right) {
    await edit("README.md", (text) => text.replaceAll(asked.wrong, asked.right));
  }
}

/** The folder of our own clone, made when it is needed first; a failed try is not remembered. */
function clone() {
  cloned ??= (async () => {
    const folder = await mkdtemp(join(tmpdir(), "agents-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    await git(folder, "clone", "-q", "--bare", `${tracker}/project.git`, "project.git");
    return join(folder, "project.git");
  })().catch((error) => {
    cloned = undefined;
    throw error;
  });
  return cloned;
}

async function develop(body) {
  const origin = await clone();
  const folder = await mkdtemp(join(tmpdir(), "issue-"));
  try {
    await git(folder, "clone", "-q", "--shared", origin, "work");
    const work = join(folder, "work");
    await change(work, form(body));
    return await git(work, "diff");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function suffer() {
  count += 1;
  if (fault === "errors" && count % 3) throw new Refused(500, "the model does not answer");
  if (fault === "slow") await new Promise((resolve) => setTimeout(resolve, SLOW_MILLISECONDS));
}

function note(task, status) {
  // one that rehearses has no say about the issue
  if (task.token === null) return;
  known.set(task.item, { item: task.item, status, token: task.token });
}

async function handIn(task, found, patch) {
  const answer = await fetch(`${tracker}/resolutions`, {
    method: "POST", headers: { "content-type": "application/json" },
    body: JSON.stringify({ item: task.item, token: task.token, by: NAME, label: found.label, patch }),
    signal: AbortSignal.timeout(60_000),
  });
  if (!answer.ok) throw new Refused(502, `the tracker answers ${answer.status}`);
  return answer.json();
}

async function work(task) {
  await suffer();
  if (task.title.includes(`[${NAME} fails]`)) {
    throw new Refused(500, `the ${NAME} agent cannot read this issue`);
  }
  note(task, "working");
  const found = label(task.title, task.body);
  let resolution;
  try {
    resolution = await handIn(task, found, await develop(task.body));
  } catch (error) {
    note(task, "failed");
    throw error instanceof Refused ? error : new Refused(502, String(error));
  }
  note(task, "done");
  return done(found, resolution);
}

/** What became of an issue, as numbers where there was a pull request. */
function done(found, resolution) {
  const quality = { quality_score: 1 };
  if (resolution.build_success !== null) {
    const kept = Object.values(resolution.review);
    quality.build_success = Number(resolution.build_success);
    quality.pr_accepted = Number(resolution.pr_accepted);
    quality.quality_score = kept.length ? kept.filter(Boolean).length / kept.length : 0;
  }
  return { system: NAME, ...found, resolved: resolution.build_success !== false, quality };
}

/** Have at most so many issues worked on at the same time; others wait. */
async function inTurn(job) {
  if (working >= AT_ONCE) await new Promise((resolve) => waiting.push(resolve));
  working += 1;
  try {
    return await job();
  } finally {
    working -= 1;
    waiting.shift()?.();
  }
}

async function bodyOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MOST_BODY) throw new Refused(413, "larger than an issue is");
    parts.push(part);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch {
    throw new Refused(400, "the body is no JSON");
  }
}

function taskOf(document) {
  const { item, title, body = "", token = null } = document ?? {};
  const isText = [item, title, body].every((each) => typeof each === "string");
  if (!isText || !(token === null || Number.isInteger(token))) {
    throw new Refused(422, "item, title and body are texts, token is a whole number or null");
  }
  return { item, title, body, token };
}

function begin(request, wish) {
  const token = Buffer.from(`Bearer ${process.env.CHANGEOVER_FAULT_TOKEN ?? ""}`);
  const given = Buffer.from(request.headers.authorization ?? "");
  const isKnown = process.env.CHANGEOVER_FAULT_TOKEN && token.length === given.length;
  if (!isKnown || !timingSafeEqual(token, given)) throw new Refused(404, "not found");
  if (!FAULTS.includes(wish?.kind)) {
    throw new Refused(400, `unknown fault ${wish?.kind}; allowed: ${FAULTS.join(", ")}`);
  }
  fault = wish.kind.replace("old-", "");
  return { fault };
}

async function answer(request) {
  const address = `${request.method} ${new URL(request.url, "http://agent").pathname}`;
  if (address === "GET /health") {
      return { status: "healthy", system: NAME };
  }
  if (address === "GET /issues") return [...known.values()];
  if (address === "POST /work") {
    const task = taskOf(await bodyOf(request));
    return inTurn(() => work(task));
  }
  if (address === "POST /fault") return begin(request, await bodyOf(request));
  throw new Refused(404, "not found");
}

const server = createServer(async (request, response) => {
  let status = 200;
  let content;
  try {
    content = await answer(request);
  } catch (error) {
    status = error.status ?? 500;
    content = { detail: error.message };
  }
  response.writeHead(status, {
    "content-type": "application/json", "x-content-type-options": "nosniff",
  });
  response.end(JSON.stringify(content));
});
// longer than others keep connections: they must not send to a closed one
server.keepAliveTimeout = 60_000;
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
server.listen(Number(options.port), "127.0.0.1");
