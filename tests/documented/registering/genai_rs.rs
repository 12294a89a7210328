use gemini_webhooks::client::WebhookConfig;
use genai_rs::Client;

async fn with_genai_rs(
    client: &Client,
    config: &WebhookConfig,
) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let config: genai_rs::WebhookConfig =
        serde_json::from_value(serde_json::to_value(config)?)?;
    let interaction = client
        .interaction()
        .with_model("gemini-3-flash-preview")
        .with_text("Tell me a story.")
        .with_background(true)
        .with_webhook_config(config)
        .create()
        .await?;
    Ok(interaction.id)
}
