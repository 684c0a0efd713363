//! Events over the broker, or straight to who stands in the same process.

use std::sync::Arc;

use rumqttc::v5::mqttbytes::QoS;
use weighbridge_agent::mqtt;

use super::tally::MessageTally;
use crate::components::Events;
use crate::domain::catalog::{PRODUCT_CHANGED, ProductCopy};
use crate::domain::ledger::Ledger;
use crate::domain::orders::{ORDERS_CREATED, Order};
use crate::domain::product::Product;
use crate::domain::{Answer, DomainError};

/// Publishes events, and calls those subscribers whose edge is `direct`.
pub(crate) struct BrokerEvents {
    /// Absent when the placement has no broker.
    pub(crate) broker: Option<mqtt::Client>,
    /// Orders go over the broker.
    pub(crate) orders_published: bool,
    /// Changes of products go over the broker.
    pub(crate) products_published: bool,
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    pub(crate) copies: Vec<Arc<dyn ProductCopy>>,
    pub(crate) tally: Arc<MessageTally>,
}

impl BrokerEvents {
    async fn publish<T: serde::Serialize + Sync>(
        &self,
        topic: &'static str,
        message: &T,
    ) -> Result<(), DomainError> {
        let Some(broker) = &self.broker else {
            return Err(DomainError::call("broker", "this placement started none"));
        };
        broker
            .publish_json(topic, message)
            .await
            .map_err(|e| DomainError::call("broker", e))?;
        self.tally.published(topic);
        Ok(())
    }
}

impl Events for BrokerEvents {
    fn order_created(&self, order: Order) -> Answer<'_, ()> {
        Box::pin(async move {
            if self.orders_published {
                self.publish(ORDERS_CREATED, &order).await?;
            }
            if let Some(ledger) = &self.ledger {
                ledger.book(order).await?;
            }
            Ok(())
        })
    }

    fn product_changed(&self, product: Product) -> Answer<'_, ()> {
        Box::pin(async move {
            if self.products_published {
                self.publish(PRODUCT_CHANGED, &product).await?;
            }
            for copy in &self.copies {
                copy.apply(product.clone()).await?;
            }
            Ok(())
        })
    }
}

/// Those in this process who get their events over the broker.
#[derive(Clone, Default)]
pub(crate) struct Copies {
    pub(crate) ledger: Option<Arc<dyn Ledger>>,
    pub(crate) products: Vec<Arc<dyn ProductCopy>>,
}

impl Copies {
    fn topics(&self) -> Vec<&'static str> {
        let orders = self.ledger.iter().map(|_| ORDERS_CREATED);
        let products = self.products.iter().take(1).map(|_| PRODUCT_CHANGED);
        orders.chain(products).collect()
    }
}

/// Subscribes to what this process needs and gives what applies it, until dropped. With several instances each
/// message goes to one of them: they share a database.
pub(crate) fn consume(
    client: &mqtt::Client,
    consumer: mqtt::Consumer,
    copies: Copies,
    group: Option<&str>,
    tally: Arc<MessageTally>,
) -> Result<impl Future<Output = ()> + Send + use<>, DomainError> {
    for topic in copies.topics() {
        let filter = match group {
            Some(group) => format!("$share/{group}/{topic}"),
            None => topic.to_owned(),
        };
        client
            .subscribe(&filter, QoS::AtLeastOnce)
            .map_err(|e| DomainError::call("broker", e))?;
        tally.subscribed(topic);
    }
    Ok(consumer.run(move |message| {
        let (copies, tally) = (copies.clone(), tally.clone());
        async move {
            if let Err(error) = apply(&message, &copies).await {
                // The broker would deliver it for ever; the drain shows that it is missing.
                tracing::error!(topic = message.topic, %error, "message not applied");
                return;
            }
            tally.consumed(&message.topic);
        }
    }))
}

async fn apply(message: &mqtt::Message, copies: &Copies) -> Result<(), DomainError> {
    let unreadable = |e: &dyn std::fmt::Display| DomainError::call("broker", e);
    match message.topic.as_str() {
        ORDERS_CREATED => {
            let order: Order = message.json().map_err(|e| unreadable(&e))?;
            if let Some(ledger) = &copies.ledger {
                ledger.book(order).await?;
            }
        }
        PRODUCT_CHANGED => {
            let product: Product = message.json().map_err(|e| unreadable(&e))?;
            for copy in &copies.products {
                copy.apply(product.clone()).await?;
            }
        }
        other => tracing::warn!(topic = other, "nobody here subscribed to this"),
    }
    Ok(())
}
