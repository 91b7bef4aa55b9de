// Reads structured reports as viewers on dcmjs and Cornerstone do, and prints what each makes of them, as JSON:
// node measurements.mjs REPORT...
import { readFileSync } from 'node:fs'
import dcmjs from 'dcmjs'
import { adaptersSR } from '@cornerstonejs/adapters'
import { metaData } from '@cornerstonejs/core'

const print = console.log
console.log = () => {} // dcmjs tells of every measurement

// A place for images that are not loaded: pixels of 1 mm, their corner at the origin.
const plane = {
  frameOfReferenceUID: '1.2.3',
  imagePositionPatient: [0, 0, 0],
  imageOrientationPatient: [1, 0, 0, 0, 1, 0],
  rowCosines: [1, 0, 0],
  columnCosines: [0, 1, 0],
  rowPixelSpacing: 1,
  columnPixelSpacing: 1,
}
const provider = { get: (kind) => (kind === 'imagePlaneModule' ? plane : undefined) }
metaData.addProvider(provider.get, 1000)
const imageIds = new Proxy({}, { get: (_, key) => `image:${String(key)}` })

function dataset(path) {
  const { buffer, byteOffset, length } = readFileSync(path)
  const { dict } = dcmjs.data.DicomMessage.readFile(buffer.slice(byteOffset, byteOffset + length))
  return dcmjs.data.DicomMetaDictionary.naturalizeDataset(dict)
}

function byDcmjs(report) {
  const found = dcmjs.adapters.Cornerstone.MeasurementReport.generateToolState(report)
  return Object.entries(found).flatMap(([tool, all]) =>
    all.map(({ sopInstanceUid, longestDiameter, shortestDiameter, handles }) => ({
      tool,
      image: sopInstanceUid,
      long: Number(longestDiameter),
      short: Number(shortestDiameter),
      start: [handles.start?.x, handles.start?.y],
    })),
  )
}

function byAdapters(report) {
  const found = adaptersSR.Cornerstone3D.MeasurementReport.generateToolState(report, imageIds, provider)
  return Object.entries(found).flatMap(([tool, all]) =>
    all.map(({ sopInstanceUid, annotation, TrackingUniqueIdentifier, findingSites }) => {
      const [{ length, width } = {}] = Object.values(annotation.data.cachedStats)
      const { label, handles } = annotation.data
      const sites = findingSites.flat().map((site) => site.CodeValue)
      return { tool, image: sopInstanceUid, long: Number(length), short: Number(width), start: handles.points[0].slice(0, 2), label, sites, uid: TrackingUniqueIdentifier }
    }),
  )
}

const read = process.argv.slice(2).map((path) => ({ dcmjs: byDcmjs(dataset(path)), adapters: byAdapters(dataset(path)) }))
print(JSON.stringify(read))
process.exit(0) // the adapters leave timers behind
