const isNumber = require("is-number");

require("fs").writeFileSync("page.txt", `built with is-number: ${isNumber(5)}`);
