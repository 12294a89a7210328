// Signs with the official JavaScript libraries: a JSON list of jobs on stdin, their signatures
// as a JSON list on stdout. Runs from a folder that has the libraries.
import { readFileSync } from "node:fs";
import { Webhook as Standard } from "standardwebhooks";
import { Webhook as Svix } from "svix";

const libraries = { standardwebhooks: Standard, svix: Svix };
const jobs = JSON.parse(readFileSync(0, "utf8"));
const signatures = jobs.map(({ library, secret, id, timestamp, body }) =>
  new libraries[library](secret).sign(id, new Date(timestamp * 1000), body),
);
console.log(JSON.stringify(signatures));
