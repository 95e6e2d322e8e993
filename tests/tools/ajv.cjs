// Validates templates with ajv: node ajv.cjs SCHEMA DIRECTORY-OF-NODE_MODULES < JSON array of templates > JSON array of
// booleans.
const fs = require("fs");
const path = require("path");
const Ajv = require(path.join(process.argv[3], "node_modules/ajv/dist/2020"));

const schema = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
// In strict mode, unknown keywords and keywords without effect are errors in the schema.
const validate = new Ajv({ strict: true }).compile(schema);
const templates = JSON.parse(fs.readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(templates.map((template) => validate(template))));
