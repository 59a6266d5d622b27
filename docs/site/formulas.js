// Reads formulas as JSON, [{ "tex": ..., "display": ... }, ...], and prints them as HTML, a list of texts.
// The first argument is the folder of KaTeX.
const katex = require(process.argv[2]);
const formulas = JSON.parse(require("fs").readFileSync(0, "utf8"));
const html = ({ tex, display }) => katex.renderToString(tex, { displayMode: display, throwOnError: true, strict: "error" });
process.stdout.write(JSON.stringify(formulas.map(html)));
