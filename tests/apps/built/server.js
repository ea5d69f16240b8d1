const { readFileSync } = require("fs");
const page = readFileSync("page.txt");

require("http")
  .createServer((request, response) => response.end(page))
  .listen(process.env.PORT, process.env.HOST);
