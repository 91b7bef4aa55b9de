// What the viewer takes from cornerstone3D; `make web` builds it into app/web/viewer/cornerstone.js.
export { RenderingEngine, Enums, cache, imageLoader, init, metaData } from "@cornerstonejs/core";
export {
  Enums as ToolEnums,
  LengthTool,
  PanTool,
  StackScrollTool,
  ToolGroupManager,
  WindowLevelTool,
  ZoomTool,
  addTool,
  annotation,
  init as initTools,
} from "@cornerstonejs/tools";
