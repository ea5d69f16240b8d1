// Writes a page for every word of words.txt, and one for what is not there.
const fs = require("fs");
const words = fs.readFileSync("words.txt", "utf8").trim().split("\n");
fs.mkdirSync("dist", { recursive: true });
fs.writeFileSync("dist/index.html", words.join(" and "));
fs.writeFileSync("dist/404.html", "no such word");
for (const word of words) fs.writeFileSync(`dist/${word}.html`, word);
