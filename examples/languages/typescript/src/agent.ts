// Asks which hosts it may reach: agent.mjs HOST...
import { connect, createClient, local } from "@stockade/client";
import { DecisionService, Verdict } from "@stockade/client/stockade/networkpolicy/v1/decision_service";

const decisions = createClient(DecisionService, connect(local("policy")));
for (const host of process.argv.slice(2)) {
  const { decision } = await decisions.checkRequest({ request: { host, port: 443 } });
  console.log(host, Verdict[decision!.verdict], decision!.rule);
}
process.exit();
