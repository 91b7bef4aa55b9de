// Bundles the viewer's libraries and writes down their licences: node build.mjs FOLDER
import { build } from "esbuild";
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const out = process.argv[2];
const { metafile } = await build({
  entryPoints: ["cornerstone.js"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outfile: join(out, "cornerstone.js"),
  legalComments: "none",
  logLevel: "warning",
  metafile: true,
  // The libraries would keep their log level and what the graphics card can do in the browser's storage: in memory instead.
  define: { "window.localStorage": "storedNowhere" },
  banner: { js: "// Built by `make web` from viewer/; licences: LICENCES.txt\nconst storedNowhere = {};" },
});

// Of some packages the licence stands in package.json alone: this is the text that it names.
const MIT = `Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice and
this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS PROVIDED
"AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.`;

const folders = new Set(
  Object.keys(metafile.inputs).flatMap((path) => path.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0] ?? []),
);
const allowed = /^(MIT|ISC|BSD-3-Clause|BSD-2-Clause|BSL-1\.0|Apache-2\.0|\(MIT AND Zlib\)|0BSD|\(WTFPL OR MIT\))$/;
const chapters = [...folders].map((folder) => {
  const { name, version, license, author } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  if (!allowed.test(license ?? "")) throw new Error(`${name}: ${license} is not among the licences that may be shipped`);
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const by = typeof author === "string" ? author : (author?.name ?? "its authors");
  const text = file && existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8").trim() : "";
  return { name, text: `${name} ${version}: ${license}\n\n${text || `Copyright ${by}\n\n${MIT}`}\n` };
});
chapters.sort((one, other) => (one.name < other.name ? -1 : 1));
const line = `\n${"-".repeat(80)}\n\n`;
const head = "What is built into cornerstone.js, with its licences.\n";
writeFileSync(join(out, "LICENCES.txt"), [head, ...chapters.map((each) => each.text)].join(line));
