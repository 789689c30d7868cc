/** Puts the page together. */

import { Service, ServiceError, type Format, type Output, type ServiceInfo } from "./api";
import { PageDocument, type MaskedObject, type Photo } from "./document";
import { isClip } from "./clip-files";
import { ClipBar } from "./clips";
import { button, dialog, element, input, radios, select, shown } from "./dom";
import { fileName, formatProblem, save } from "./downloads";
import { EdgeControls } from "./edges";
import { acceptFiles, choose, type Use } from "./files";
import type { Rect } from "./geometry";
import { Gestures } from "./gestures";
import { Hovering } from "./hovering";
import { isAlone, keepForOffline, limitTo } from "./alone";
import { LocalService } from "./local";
import { Matting, SentPhoto } from "./matting";
import { ObjectsPanel } from "./objects-panel";
import { decodedHere, decodedThere, hasShapeOf } from "./photo";
import { valuesOf } from "./pixels";
import { Renderer } from "./render";
import { PageError, PageReporter } from "./report";
import { SelectOptions } from "./select-options";
import { Selecting } from "./selecting";
import { listenForShortcuts } from "./shortcuts";
import { followTheme } from "./theme";
import { initialView, isBrushTool, type Mode, type Overlay, type Tool } from "./view";
import { fitted, zoomedTo } from "./viewport";

const ZOOM_STEP = 1.4;
const LARGEST_BRUSH = 200;

const service = isAlone() ? new LocalService() : new Service();
const page = new PageDocument();
const view = initialView();
const reporter = new PageReporter();
const canvas = element<HTMLCanvasElement>("canvas");
const renderer = new Renderer(canvas, page, view);
const matting = new Matting(service, page, view, reporter, renderer.redraw);
const selecting = new Selecting(page, (prompt, mask, signal) => matting.select(prompt, mask, signal), reporter);
const hovering = new Hovering(page, view, selecting, renderer.redraw);
const clips = new ClipBar(service, page, matting, reporter, {
  show: (frame, isFirst) => {
    opening = new SentPhoto(service, frame.file, reporter);
    matting.use(opening);
    page.open(frame);
    if (isFirst) zoomToFit();
    element("photo-name").textContent = frame.name;
  },
  background: () => {
    const background = backgroundToSend();
    return typeof background === "string" ? background : null;
  },
});
let info: ServiceInfo | null = null;
/** The newest photograph asked for: an older one that arrives later is not shown. */
let opening: SentPhoto | null = null;

// ---- opening ----------------------------------------------------------------------------------------------------

async function openPhoto(file: Blob, name: string): Promise<void> {
  reporter.clear();
  if (isClip(file, name)) return clips.open(file, name, info);
  clips.close();
  if (info && file.size > info.limits.body_bytes) {
    throw new PageError(
      `This file has ${megabytes(file.size)}; the service takes at most ${megabytes(info.limits.body_bytes)}.`,
    );
  }
  const photo = new SentPhoto(service, file, reporter);
  opening = photo;
  const encoded = photo.encoding; // on its way while this browser reads the file
  encoded.catch(() => undefined);
  let isShown = false;
  try {
    const here = await decodedHere(file, name);
    if (here && opening === photo) show(here, photo);
    isShown = here !== null;
    const encoding = await encoded;
    if (opening !== photo) return;
    if (!here || here.width !== encoding.width || here.height !== encoding.height) {
      show(await decodedThere(service, encoding, name), photo);
    }
    for (const warning of encoding.warnings) reporter.said(warning);
    if (info?.selects) attempt(prepareHovering(photo));
  } catch (error) {
    if (opening !== photo) return;
    const canBeTriedAgain =
      error instanceof ServiceError && ["unreachable", "deadline", "starting"].includes(error.kind);
    if (isShown && !canBeTriedAgain) page.close();
    throw error;
  }
}

async function prepareHovering(photo: SentPhoto): Promise<void> {
  try {
    const tokens = await matting.tokens(new AbortController().signal);
    if (opening === photo && page.photo) hovering.use(page.photo, tokens);
  } catch (error) {
    if (opening === photo) throw error;
  }
}

function show(photo: Photo, sent: SentPhoto): void {
  matting.use(sent);
  page.open(photo);
  zoomToFit();
  element("photo-name").textContent = photo.name;
  element("photo-name").title = `${photo.name}, ${photo.width} × ${photo.height}`;
  reporter.said(`${photo.name} opened, ${photo.width} by ${photo.height} pixels`);
  canvas.focus({ preventScroll: true });
}

async function openExample(): Promise<void> {
  const { photo, mask } = await service.example();
  await openPhoto(photo, "astronaut.jpg");
  await useMask(mask, "mask.png");
}

/** Into the selected object where it is empty, else into a new one. */
async function useMask(file: Blob, name: string): Promise<void> {
  if (!page.photo) throw new PageError("Open the photograph first, then its masks.");
  const here = await createImageBitmap(file).catch(() => null);
  if (here && !hasShapeOf(here, page.photo)) {
    throw new PageError(
      `This mask is ${here.width} × ${here.height}, the photograph ${page.photo.width} × ${page.photo.height}: ` +
        "they have different shapes.",
    );
  }
  const { width, height } = page.maskSize;
  const values = await valuesOf(await matting.roughMask(file), width, height);
  const label = /__(.+)\.\w+$/.exec(name)?.[1];
  const object = page.selected?.mask.isEmpty ? page.selected : page.addObject(label);
  if (label) object.name = label;
  page.apply(object, "Mask", object.mask.replace(values), file);
  page.touch();
}

async function useBox(box: Rect): Promise<void> {
  const object = page.selected;
  if (!object) return;
  const { width, height } = page.maskSize;
  const values = await valuesOf(await matting.roughMask(box), width, height);
  if (!values.some((value) => value > 0))
    throw new PageError("Nothing was found in the box. Try a larger one, or the brush.");
  page.apply(object, "Box", object.mask.unite(values), null);
}

async function useBackground(file: Blob, name: string): Promise<void> {
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new PageError("This picture cannot be shown here. Use a PNG, JPEG or WebP file.");
  view.background = { kind: "picture", file, bitmap };
  for (const radio of radios("background")) radio.checked = false;
  element("background-name").textContent = name;
  if (view.mode === "edit" || view.mode === "alpha") setMode("result");
  renderer.redraw();
}

async function useFiles(files: File[], as: Use): Promise<void> {
  if (files.length > 1 && as !== "mask")
    throw new PageError("Drop one picture; its masks come after it, as many as you like.");
  for (const file of files) {
    if (as === "photo") await openPhoto(file, file.name);
    else if (as === "mask") await useMask(file, file.name);
    else await useBackground(file, file.name);
  }
}

/** For what a person starts: what fails is told. */
function attempt(work: Promise<void>): void {
  work.catch((error: unknown) => reporter.failed(error));
}

// ---- the stage --------------------------------------------------------------------------------------------------

const TOOL_HINTS: Partial<Record<Tool, string>> = {
  box: "Drag a box around the object",
  hand: "Drag to move, scroll to zoom",
};
const STAGE_LABELS: Record<Tool, string> = {
  select:
    "Arrow keys move a crosshair, Enter selects there, Alt+Enter takes away, Shift+Enter begins a box, Ctrl+Enter a scribble.",
  brush: "Arrow keys move the brush, Enter starts and stops painting.",
  eraser: "Arrow keys move the eraser, Enter starts and stops erasing.",
  unsure: "Arrow keys move the brush, Enter starts and stops painting what the network decides.",
  box: "Arrow keys move a crosshair, Enter sets the corners of the box.",
  hand: "Arrow keys move the photograph.",
};

function toolButton(tool: Tool): HTMLElement {
  return document.querySelector<HTMLElement>(`[data-tool="${tool}"]`)!;
}

/** A tool that this service does not offer is not set. */
function setTool(tool: Tool): void {
  if (toolButton(tool).hidden) return;
  view.tool = tool;
  for (const other of document.querySelectorAll<HTMLElement>("[data-tool]")) {
    other.setAttribute("aria-pressed", String(other.dataset["tool"] === tool));
  }
  canvas.dataset["tool"] = tool;
  element("brush-size-row").hidden = !isBrushTool(tool);
  element("select-options").hidden = tool !== "select";
  element("tool-hint").textContent = TOOL_HINTS[tool] ?? "";
  canvas.setAttribute("aria-label", `Photograph. ${STAGE_LABELS[tool]}`);
  hovering.refresh();
  renderer.redraw();
}

function setBrushSize(size: number): void {
  view.brushSize = Math.round(Math.min(LARGEST_BRUSH, Math.max(4, size)));
  input("brush-size").value = String(view.brushSize);
  element("brush-size-text").textContent = String(view.brushSize);
  renderer.redraw();
}

function setMode(mode: Mode): void {
  view.mode = mode;
  for (const radio of radios("mode")) radio.checked = radio.value === mode;
  element("split").hidden = mode !== "compare";
  matting.refresh();
  hovering.refresh();
}

function setSplit(share: number): void {
  view.split = Math.min(1, Math.max(0, share));
  input("split-range").value = String(100 * view.split);
  element("split").style.setProperty("--split", `${100 * view.split}%`);
  renderer.redraw();
}

function zoomToFit(): void {
  if (page.photo) view.viewport = fitted(page.photo, view.stage);
  viewMoved();
}

function zoomTo(scale: number): void {
  if (!page.photo) return;
  const middle = { x: view.stage.width / 2, y: view.stage.height / 2 };
  view.viewport = zoomedTo(view.viewport, scale, middle, page.photo, view.stage);
  viewMoved();
}

/** One pixel of the photograph for one of the screen. */
const zoomToActual = (): void => zoomTo(1 / devicePixelRatio);
const zoomIn = (): void => zoomTo(view.viewport.scale * ZOOM_STEP);
const zoomOut = (): void => zoomTo(view.viewport.scale / ZOOM_STEP);

function viewMoved(): void {
  button("zoom-actual").textContent = `${Math.round(100 * view.viewport.scale * devicePixelRatio)} %`;
  matting.look();
}

new Gestures(canvas, page, view, {
  boxDrawn: (box) => attempt(useBox(box)),
  marked: (mark) => selecting.mark(mark),
  pointed: (spot) => hovering.point(spot),
  viewMoved,
  redraw: renderer.redraw,
  say: (text) => {
    element("status").textContent = text;
  },
  tell: (text) => reporter.said(text),
});

let isFitted = false;
new ResizeObserver(([entry]) => {
  const { width, height } = entry!.contentRect;
  const wasFitted = isFitted && page.photo && view.viewport.scale === fitted(page.photo, view.stage).scale;
  renderer.resize(width, height);
  if (wasFitted || !isFitted) zoomToFit();
  isFitted = true;
}).observe(element("stage"));

for (const tool of document.querySelectorAll<HTMLElement>("[data-tool]")) {
  tool.addEventListener("click", () => setTool(tool.dataset["tool"] as Tool));
}
input("brush-size").addEventListener("input", () => setBrushSize(Number(input("brush-size").value)));
for (const radio of radios("mode")) radio.addEventListener("change", () => setMode(radio.value as Mode));
button("zoom-in").addEventListener("click", zoomIn);
button("zoom-out").addEventListener("click", zoomOut);
button("zoom-fit").addEventListener("click", zoomToFit);
button("zoom-actual").addEventListener("click", zoomToActual);

input("split-range").addEventListener("input", () => setSplit(Number(input("split-range").value) / 100));
const splitLine = element("split").querySelector<HTMLElement>(".split-line")!;
splitLine.addEventListener("pointerdown", (event) => splitLine.setPointerCapture(event.pointerId));
splitLine.addEventListener("pointermove", (event) => {
  if (!splitLine.hasPointerCapture(event.pointerId)) return;
  const box = element("stage").getBoundingClientRect();
  setSplit((event.clientX - box.left) / box.width);
});

// ---- the panel --------------------------------------------------------------------------------------------------

new ObjectsPanel(page);
const selectOptions = new SelectOptions(page, view, selecting);

function setColour(value: string): void {
  view.background = value === "checker" ? { kind: "checker" } : { kind: "colour", value };
  element("background-name").textContent = "Use a picture…";
  if (view.mode === "edit" || view.mode === "alpha") setMode("result");
  renderer.redraw();
}

for (const radio of radios("background")) {
  radio.addEventListener("change", () => setColour(radio.value === "own" ? input("own-colour").value : radio.value));
}
const showOwnColour = (): void => {
  element("own-swatch").style.backgroundColor = input("own-colour").value;
};
showOwnColour();
input("own-colour").addEventListener("input", () => {
  radios("background").find(({ value }) => value === "own")!.checked = true;
  showOwnColour();
  setColour(input("own-colour").value);
});

select("overlay").addEventListener("change", () => {
  view.overlay = select("overlay").value as Overlay;
  for (const name of ["error", "active", "steps"]) element(`legend-${name}`).hidden = view.overlay !== name;
  matting.refresh();
});

function showAdvanced(): void {
  if (!info) return;
  const { trust, steps, error_threshold } = info.defaults;
  element("trust-row").hidden = trust === undefined;
  for (const [id, value, digits] of [
    ["trust", matting.advanced.trust ?? trust ?? 0, 2],
    ["steps", matting.advanced.steps ?? steps, 0],
    ["threshold", matting.advanced.errorThreshold ?? error_threshold, 2],
  ] as const) {
    input(id).value = String(value);
    element(`${id}-text`).textContent = value.toFixed(digits);
  }
  button("advanced-reset").disabled = Object.keys(matting.advanced).length === 0;
}

for (const [id, name] of [
  ["trust", "trust"],
  ["steps", "steps"],
  ["threshold", "errorThreshold"],
] as const) {
  input(id).addEventListener("input", () => {
    matting.advanced = { ...matting.advanced, [name]: input(id).valueAsNumber };
    showAdvanced();
  });
  input(id).addEventListener("change", () => matting.recompute());
}
button("advanced-reset").addEventListener("click", () => {
  matting.advanced = {};
  showAdvanced();
  matting.recompute();
});

new EdgeControls((edges) => matting.reshape(edges));

// ---- downloading ------------------------------------------------------------------------------------------------

function updateFormats(): void {
  const chooser = select("download-format");
  for (const option of chooser.options) {
    const problem = formatProblem(select("download-output").value as Output, option.value as Format);
    option.disabled = problem !== null;
    option.title = problem ?? "";
  }
  if (chooser.selectedOptions[0]?.disabled)
    chooser.value = [...chooser.options].find(({ disabled }) => !disabled)!.value;
}

const ALL = "all";

/** The choice follows the selected object, unless all are chosen. */
function updateDownloadObjects(): void {
  const chooser = select("download-object");
  const marked = page.objects.filter(({ mask }) => !mask.isEmpty);
  const options = marked.map(({ id, name }) => new Option(name, String(id)));
  if (marked.length > 1) options.push(new Option("All shown, as one", ALL));
  const wantsAll = chooser.value === ALL && marked.length > 1;
  const followed = marked.find((object) => object === page.selected) ?? marked[0];
  chooser.replaceChildren(...options);
  chooser.value = wantsAll ? ALL : String(followed?.id ?? "");
  element("download-object-row").hidden = marked.length < 2;
  button("download").disabled = marked.length === 0;
}

let running: AbortController | null = null;

async function download(): Promise<void> {
  const output = select("download-output").value as Output;
  const chosen = select("download-object").value;
  const objects = page.objects.filter(({ id, isVisible, mask }) =>
    chosen === ALL ? isVisible && !mask.isEmpty : String(id) === chosen,
  );
  if (!objects.length || !page.photo)
    throw new PageError("Mark an object first: click it, paint over it, or load a mask.");
  running?.abort();
  const { signal } = (running = new AbortController());
  const isComposed = output === "composite" || output === "comparison";
  button("download").classList.add("is-busy");
  try {
    const format = select("download-format").value as Format;
    const file = await matting.file(objects, output, format, isComposed ? backgroundToSend() : undefined, signal);
    const name = fileName(page.photo.name, nameInFile(objects), output, file.type);
    save(file, name);
    reporter.said(`${name} downloaded`);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    button("download").classList.remove("is-busy");
  }
}

function nameInFile(objects: MaskedObject[]): string | null {
  return page.objects.length === 1 ? null : objects.length > 1 ? "all" : objects[0]!.name;
}

function backgroundToSend(): string | Blob {
  const { background } = view;
  return background.kind === "checker" ? "white" : background.kind === "colour" ? background.value : background.file;
}

select("download-output").addEventListener("change", updateFormats);
button("download").addEventListener("click", () => attempt(download()));

// ---- the rest of the page ---------------------------------------------------------------------------------------

page.listen((event) => {
  document.body.classList.toggle("is-empty", !page.photo);
  if (event.kind === "mask" && !event.isComplete) return;
  button("undo").disabled = !page.history.canUndo && !page.selected?.pending;
  button("redo").disabled = !page.history.canRedo;
  updateDownloadObjects();
  const isUnmarked = page.photo !== null && page.objects.every(({ mask }) => mask.isEmpty);
  element("hint").hidden = !isUnmarked || clips.hasMasks;
});

/** First of all, a selection that is still being made is given up. */
function undo(): void {
  if (page.selected && selecting.cancel(page.selected)) {
    page.touch();
    reporter.said("Selection cancelled");
    return;
  }
  const label = page.undo();
  if (label) reporter.said(`Undone: ${label}`);
}

function redo(): void {
  const label = page.redo();
  if (label) reporter.said(`Redone: ${label}`);
}

const choosePhoto = (): void => {
  void choose(input("photo-file")).then((files) => attempt(useFiles(files, "photo")));
};
button("open").addEventListener("click", choosePhoto);
button("choose").addEventListener("click", choosePhoto);
button("example").addEventListener("click", () => attempt(openExample()));
button("load-mask").addEventListener("click", () => {
  void choose(input("mask-file")).then((files) => attempt(useFiles(files, "mask")));
});
button("load-background").addEventListener("click", () => {
  void choose(input("background-file")).then((files) => attempt(useFiles(files, "background")));
});
acceptFiles(
  () => page.photo !== null,
  (files, as) => attempt(useFiles(files, as)),
);
button("undo").addEventListener("click", undo);
button("redo").addEventListener("click", redo);
button("help").addEventListener("click", () => void shown(dialog("help-dialog")));
followTheme(() => renderer.readColours());

listenForShortcuts({
  s: () => setTool("select"),
  t: () => {
    selectOptions.toggle();
    hovering.refresh();
  },
  g: () => selectOptions.cycle(),
  b: () => setTool("brush"),
  e: () => setTool("eraser"),
  u: () => setTool("unsure"),
  r: () => setTool("box"),
  h: () => setTool("hand"),
  "[": () => setBrushSize(view.brushSize / 1.25),
  "]": () => setBrushSize(view.brushSize * 1.25),
  "1": () => setMode("edit"),
  "2": () => setMode("result"),
  "3": () => setMode("compare"),
  "4": () => setMode("alpha"),
  "+": zoomIn,
  "=": zoomIn,
  "-": zoomOut,
  "0": zoomToFit,
  "9": zoomToActual,
  ",": () => clips.step(-1),
  ".": () => clips.step(1),
  n: () => page.photo && page.addObject(),
  v: () => {
    if (!page.selected) return;
    page.selected.isVisible = !page.selected.isVisible;
    page.touch();
  },
  "?": () => void shown(dialog("help-dialog")),
  "Ctrl+z": undo,
  "Ctrl+y": redo,
  "Ctrl+Shift+z": redo,
  "Ctrl+o": choosePhoto,
  "Ctrl+s": () => attempt(download()),
});

addEventListener("pagehide", () => {
  opening = null; // what is given up now did not fail
  clips.close();
  matting.close();
});

service.askKey = async () => {
  const answer = await shown(dialog("key-dialog"));
  const key = input("key").value;
  input("key").value = "";
  return answer === "ok" && key ? key : null;
};
service.onBusy = (seconds) => reporter.said(`The service is busy; trying again in ${seconds} s`);

function megabytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MB`;
}

/** Whether fingers are all there is to point with. */
const isTouched = matchMedia("(hover: none)").matches;

/** The Select tool draws boxes, too; the Box tool is for models that select nothing. */
function offerSelecting(isOffered: boolean): void {
  toolButton("select").hidden = !isOffered;
  toolButton("box").hidden = isOffered;
  if (!isOffered && view.tool === "select") setTool("brush");
  element("keys-select").hidden = !isOffered;
  element("hint").textContent = isOffered
    ? isTouched
      ? "Tap what you want to keep, or drag a box around it. To scribble over it, hold, then drag."
      : "Click what you want to keep, or drag a box around it. Ctrl-drag scribbles over it, Alt takes away."
    : "Paint over what you want to keep, or draw a box. This service’s model cannot select by a click.";
}

async function start(): Promise<void> {
  offerSelecting(true);
  setTool("select");
  setBrushSize(view.brushSize);
  setMode("edit");
  setSplit(view.split);
  updateFormats();
  info = await service.info();
  offerSelecting(info.selects);
  if (info.offers) limitTo(info.offers);
  const { limits, version, model } = info;
  element("limits").textContent =
    `Up to ${Math.round(limits.pixels / 1e6)} megapixels and ${megabytes(limits.body_bytes)}` +
    (info.clips && !info.clips.missing
      ? `; clips up to ${megabytes(info.clips.bytes)} and ${info.clips.frames} frames. `
      : ". ") +
    (info.offers
      ? "Your pictures stay in this browser."
      : "Your pictures go to this service alone, and are kept only while you work.");
  element("about").textContent = `mask2alpha ${version}, model ${model}`;
  input("steps").max = String(limits.steps);
  const suffixes = info.input_formats.map((suffix) => `.${suffix}`);
  for (const id of ["photo-file", "mask-file"]) input(id).accept = ["image/*", ...suffixes].join(",");
  if (info.clips) input("photo-file").accept += ",video/*,.mkv,.mxf";
  showAdvanced();
}

if (isAlone()) attempt(keepForOffline(() => page.photo === null));
attempt(start());
