const http = require("http");
const ms = require("ms");

http
  .createServer((request, response) => response.end(`yarn says ${ms(86400000)} in ${process.env.NODE_ENV}`))
  .listen(process.env.PORT, process.env.HOST);
