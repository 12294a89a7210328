// Sends jobs to a running receiver, signed now by the official JavaScript library: a JSON list
// on stdin, statuses and bodies as a JSON list on stdout.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { url, jobs } = JSON.parse(readFileSync(0, "utf8"));
const answers = [];
for (const { id, secret, age, signed, sent } of jobs) {
  const now = new Date(Date.now() - age * 1000);
  const response = await fetch(url, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": Math.floor(now.getTime() / 1000).toString(),
      "webhook-signature": new Webhook(secret).sign(id, now, signed),
    },
    body: sent,
    signal: AbortSignal.timeout(10_000),
  });
  answers.push([response.status, await response.text()]);
}
console.log(JSON.stringify(answers));
