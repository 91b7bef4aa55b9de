// The slices in cornerstone3D's stack viewport, fed from HU in memory: nothing is decoded here.
import { ascends, planeOf, toPixel, toWorld } from "./geometry.js";

const ENGINE = "engine", VIEWPORT = "stack", TOOLS = "tools", SCHEME = "hu";

/** Shows the slices of one image in `element`; calls `changed` after each drawing. */
export class Stack {
  #library;
  #element;
  #engine;
  #group;
  #changed;
  #image = null;
  #loads = 0;

  constructor(element, changed) {
    this.#element = element;
    this.#changed = changed;
  }

  /** Load the library, four megabytes that the page does not wait for. */
  async start() {
    this.#library = await import("./cornerstone.js");
    const { init, initTools, imageLoader, metaData } = this.#library;
    await init();
    initTools();
    imageLoader.registerImageLoader(SCHEME, (id) => ({ promise: Promise.resolve(this.#picture(id)) }));
    metaData.addProvider((kind, id) => this.#metadata(kind, id), 10_000);
  }

  // Once the element is seen: in one without a size the library does not come to an end.
  #enable() {
    const { RenderingEngine, Enums } = this.#library;
    this.#engine = new RenderingEngine(ENGINE);
    this.#engine.enableElement({ viewportId: VIEWPORT, element: this.#element, type: Enums.ViewportType.STACK });
    this.#element.addEventListener(Enums.Events.IMAGE_RENDERED, () => this.#changed());
    this.#element.addEventListener("contextmenu", (event) => event.preventDefault());
    this.#startTools();
    new ResizeObserver(() => this.#engine.resize(true, true)).observe(this.#element);
  }

  #startTools() {
    const { ToolGroupManager, ToolEnums, addTool, ...tools } = this.#library;
    const { Primary, Secondary, Auxiliary, Wheel } = ToolEnums.MouseBindings;
    const used = [tools.WindowLevelTool, tools.PanTool, tools.ZoomTool, tools.LengthTool, tools.StackScrollTool];
    this.#group = ToolGroupManager.createToolGroup(TOOLS);
    for (const tool of used) {
      addTool(tool);
      this.#group.addTool(tool.toolName);
    }
    this.#group.addViewport(VIEWPORT, ENGINE);
    this.#others = [
      [tools.StackScrollTool.toolName, Wheel],
      [tools.ZoomTool.toolName, Secondary],
      [tools.PanTool.toolName, Auxiliary],
    ];
    this.#primary = Primary;
    this.setMode("judge");
  }

  #others = [];
  #primary;

  /** What a drag with the left button does: in the mode "judge" it changes the window. */
  setMode(mode) {
    const { WindowLevelTool, PanTool, ZoomTool, LengthTool } = this.#library;
    const byMode = { judge: WindowLevelTool, pan: PanTool, zoom: ZoomTool, length: LengthTool };
    const chosen = byMode[mode].toolName;
    const bindings = (name) => [
      ...this.#others.filter(([other]) => other === name).map(([, mouseButton]) => ({ mouseButton })),
      ...(name === chosen ? [{ mouseButton: this.#primary }] : []),
    ];
    for (const name of [WindowLevelTool, LengthTool].map((tool) => tool.toolName)) this.#group.setToolPassive(name, { removeAllBindings: true });
    for (const name of new Set([...this.#others.map(([other]) => other), chosen])) {
      this.#group.setToolPassive(name, { removeAllBindings: true });
      this.#group.setToolActive(name, { bindings: bindings(name) });
    }
  }

  /** Show an image, the slice at `index` first; what was shown before is let go. */
  async show(image, index) {
    const { cache, annotation } = this.#library;
    if (!this.#engine) this.#enable();
    annotation.state.removeAllAnnotations();
    this.#image = image;
    this.#loads += 1;
    cache.purgeCache();
    await this.#viewport.setStack(this.#ids(), this.#place(index));
    this.#viewport.resetCamera();
    this.setWindow(image.head.window.center_hu, image.head.window.width_hu);
  }

  get #viewport() {
    return this.#engine.getViewport(VIEWPORT);
  }

  get slices() {
    return this.#image?.head.slices ?? 0;
  }

  /** The slice that is shown, 0-based in spatial order. */
  get index() {
    return this.#image ? this.#place(this.#viewport.getCurrentImageIdIndex()) : 0;
  }

  // The wheel goes from the head to the feet, as in every viewer: places in the stack count from the head.
  #place(index) {
    return ascends(this.#image.head) ? this.slices - 1 - index : index;
  }

  #ids() {
    return Array.from({ length: this.slices }, (_, place) => `${SCHEME}:${this.#loads}:${this.#place(place)}`);
  }

  async goTo(index) {
    const within = Math.min(Math.max(index, 0), this.slices - 1);
    await this.#viewport.setImageIdIndex(this.#place(within));
    this.#viewport.render();
  }

  /** Go some slices towards the head, or towards the feet where it is negative. */
  async step(slices) {
    await this.goTo(this.index + (ascends(this.#image.head) ? slices : -slices));
  }

  setWindow(center, width) {
    this.#viewport.setProperties({ voiRange: { lower: center - width / 2, upper: center + width / 2 } });
    this.#viewport.render();
  }

  /** The window that is shown: [center, width] in HU. */
  get window() {
    const { lower, upper } = this.#viewport.getProperties().voiRange ?? { lower: 0, upper: 0 };
    return [(lower + upper) / 2, upper - lower];
  }

  fit() {
    this.#viewport.resetCamera();
    this.#viewport.render();
  }

  zoom(factor) {
    this.#viewport.setZoom(this.#viewport.getZoom() * factor);
    this.#viewport.render();
  }

  /** Where a pixel of the shown slice is in the element, in CSS pixels; fractions are welcome. */
  toCanvas(point) {
    return this.#viewport.worldToCanvas(toWorld(planeOf(this.#image.head, this.index), point));
  }

  /** The pixel [column, row] of the shown slice at a place in the element; null beside the image. */
  toPixel(canvas) {
    const { head } = this.#image;
    const [x, y] = toPixel(planeOf(head, this.index), this.#viewport.canvasToWorld(canvas));
    return x < -0.5 || y < -0.5 || x > head.columns - 0.5 || y > head.rows - 0.5 ? null : [x, y];
  }

  /** HU of the shown slice at a pixel. */
  valueAt([x, y]) {
    const { head, pixels } = this.#image;
    const column = Math.min(Math.max(Math.round(x), 0), head.columns - 1), row = Math.min(Math.max(Math.round(y), 0), head.rows - 1);
    return pixels[(this.index * head.rows + row) * head.columns + column];
  }

  removeLastLength() {
    const { annotation } = this.#library;
    const last = annotation.state.getAllAnnotations().at(-1);
    if (last) annotation.state.removeAnnotation(last.annotationUID);
    this.#viewport.render();
  }

  #indexOf(id) {
    const [scheme, load, index] = String(id).split(":");
    return scheme === SCHEME && Number(load) === this.#loads ? Number(index) : -1;
  }

  #picture(id) {
    const { head, pixels } = this.#image;
    const size = head.rows * head.columns, index = this.#indexOf(id);
    const own = pixels.subarray(index * size, (index + 1) * size);
    const { center_hu: windowCenter, width_hu: windowWidth } = head.window;
    return {
      imageId: id, rows: head.rows, columns: head.columns, height: head.rows, width: head.columns,
      rowPixelSpacing: head.pixel_spacing_mm[0], columnPixelSpacing: head.pixel_spacing_mm[1],
      slope: 1, intercept: 0, windowCenter, windowWidth, minPixelValue: -1024, maxPixelValue: 3071,
      color: false, rgba: false, numberOfComponents: 1, invert: false, photometricInterpretation: "MONOCHROME2",
      dataType: "Int16Array", sizeInBytes: own.byteLength, getPixelData: () => own, imageFrame: {},
    };
  }

  #metadata(kind, id) {
    const index = this.#indexOf(id);
    if (index < 0) return undefined;
    const { head } = this.#image;
    const { origin, row, column, betweenRows, betweenColumns } = planeOf(head, index);
    const { rows, columns } = head;
    switch (kind) {
      case "imagePlaneModule":
        return {
          frameOfReferenceUID: SCHEME, rows, columns, imageOrientationPatient: [...row, ...column], rowCosines: row, columnCosines: column,
          imagePositionPatient: origin, pixelSpacing: [betweenRows, betweenColumns], rowPixelSpacing: betweenRows,
          columnPixelSpacing: betweenColumns, usingDefaultValues: false,
        };
      case "imagePixelModule":
        return {
          rows, columns, samplesPerPixel: 1, photometricInterpretation: "MONOCHROME2", bitsAllocated: 16, bitsStored: 16, highBit: 15,
          pixelRepresentation: 1,
        };
      case "generalSeriesModule":
        return { modality: "CT" };
      case "modalityLutModule":
        return { rescaleSlope: 1, rescaleIntercept: 0 };
      case "voiLutModule":
        return { windowCenter: [head.window.center_hu], windowWidth: [head.window.width_hu] };
      default:
        return undefined;
    }
  }
}
