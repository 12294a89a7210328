use gemini_rust::Gemini;
use gemini_webhooks::client::WebhookConfig;

async fn with_gemini_rust(
    client: &Gemini,
    config: &WebhookConfig,
) -> Result<Option<String>, Box<dyn std::error::Error>> {
    let config: gemini_rust::WebhookConfig =
        serde_json::from_value(serde_json::to_value(config)?)?;
    let interaction = client
        .create_interaction()
        .with_model("gemini-3-flash-preview")
        .with_text("Tell me a story.")
        .with_background()
        .with_webhook_config(config)
        .execute()
        .await?;
    Ok(interaction.id)
}
