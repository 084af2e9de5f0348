// Asks flags of the official OFREP provider for Node: node ofrep.mjs URL, then lines on stdin
// `boolean|string|number|object FLAG USER DEFAULT [ATTRIBUTES]`; prints one JSON answer a line.
import readline from "node:readline";
import { OpenFeature } from "@openfeature/server-sdk";
import { OFREPProvider } from "@openfeature/ofrep-provider";

await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: process.argv[2] }));
const client = OpenFeature.getClient();
const ask = {
  boolean: (...all) => client.getBooleanDetails(...all),
  string: (...all) => client.getStringDetails(...all),
  number: (...all) => client.getNumberDetails(...all),
  object: (...all) => client.getObjectDetails(...all),
};
for await (const line of readline.createInterface({ input: process.stdin })) {
  const [kind, flag, user, byDefault, attributes = {}] = JSON.parse(line);
  const details = await ask[kind](flag, byDefault, { targetingKey: user, ...attributes });
  process.stdout.write(JSON.stringify(details) + "\n");
}
