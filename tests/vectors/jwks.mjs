// Asks `jose` whether it verifies tokens under key sets: a JSON list of jobs on stdin, whether each
// is accepted as a JSON list on stdout. Runs from a folder that has the library.
import { readFileSync } from "node:fs";
import { createRemoteJWKSet, customFetch, jwtVerify } from "jose";

const jobs = JSON.parse(readFileSync(0, "utf8"));
const accepted = [];
for (const { set_base64, token, now } of jobs) {
  const set = Buffer.from(set_base64, "base64");
  const keys = createRemoteJWKSet(new URL("https://example.com/jwks.json"), {
    [customFetch]: async () => new Response(set),
  });
  const options = { algorithms: ["RS256", "EdDSA"], currentDate: new Date(now * 1000) };
  accepted.push(await jwtVerify(token, keys, options).then(() => true, () => false));
}
console.log(JSON.stringify(accepted));
