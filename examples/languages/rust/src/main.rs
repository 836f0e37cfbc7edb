//! Asks which hosts it may reach: agent HOST...

use stockade_client::networkpolicy::v1::{decision_service_client::DecisionServiceClient, *};
use stockade_client::{connect, local};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut decisions = DecisionServiceClient::new(connect(&local("policy"), None)?);
    for host in std::env::args().skip(1) {
        let request = Some(RequestToCheck { host: host.clone(), port: 443, ..Default::default() });
        let answer = decisions.check_request(CheckRequestRequest { request }).await?.into_inner();
        let decision = answer.decision.unwrap_or_default();
        println!("{host} {} {}", decision.verdict().as_str_name().trim_start_matches("VERDICT_"), decision.rule);
    }
    Ok(())
}
