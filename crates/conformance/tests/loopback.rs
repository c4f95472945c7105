//! The four real binaries, wired on loopback over a real PostgreSQL and Redis, keep the whole contract.

use anyhow::{Result, ensure};
use conformance::Shop;
use test_support::{
    Redis, Service, build_binaries, eventually, free_address, free_local_address, postgres,
    spawn_service,
};

const ADMIN_TOKEN: &str = "an admin token of the loopback test";
const REGISTRY_TOKEN: &str = "a registry token of the loopback test";

/// A shop with two product services, so that rotation has something to rotate over.
struct Loopback {
    gateway: Service,
    others: Vec<Service>,
    _redis: Redis,
}

impl Loopback {
    async fn start() -> Result<Self> {
        let programs = tokio::task::spawn_blocking(build_binaries).await??;
        let (redis, postgres) = (Redis::start().await?, postgres().await?);
        let (catalog, orders) = (
            postgres.empty_database().await?,
            postgres.empty_database().await?,
        );
        let redis_url = redis.url();

        let token = ("REGISTRY_TOKEN", REGISTRY_TOKEN);
        let probed = [
            ("PROBE_CIDRS", "127.0.0.0/8"),
            ("INSTANCE_ID", "registry"),
            token,
        ];
        let registry = spawn_service(programs.join("service-registry"), &probed).await?;
        let registry_url = registry.base_url();
        let mut others = vec![registry];
        for (program, instance, database) in [
            ("product-service", "product-1", &catalog),
            ("product-service", "product-2", &catalog),
            ("order-service", "order-1", &orders),
        ] {
            let address = free_local_address().to_string();
            let environment = [
                ("HTTP__LISTEN", address.as_str()),
                ("INSTANCE_ID", instance),
                ("SERVICE_REGISTRY", &registry_url),
                ("ADVERTISE_CIDR", "127.0.0.0/8"),
                ("DATABASE_URL", database.url()),
                ("REDIS_URL", &redis_url),
                ("ADMIN_TOKEN", ADMIN_TOKEN),
                token,
            ];
            others.push(spawn_service(programs.join(program), &environment).await?);
        }
        let admin = free_address().to_string();
        let environment = [
            ("INSTANCE_ID", "gateway"),
            ("SERVICE_REGISTRY", &registry_url),
            ("ADMIN__LISTEN", &admin),
        ];
        let gateway = spawn_service(programs.join("api-gateway"), &environment).await?;
        Ok(Self {
            gateway,
            others,
            _redis: redis,
        })
    }

    /// Waits until the gateway knows both product services, and an order service that is ready.
    async fn is_complete(&self) -> Result<()> {
        let url = self.gateway.base_url();
        eventually("the gateway serves from every instance", || async {
            let first = reqwest::get(format!("{url}/api/products"))
                .await?
                .error_for_status()?;
            let second = reqwest::get(format!("{url}/api/products")).await?;
            ensure!(
                first.headers().get("x-served-by") != second.headers().get("x-served-by"),
                "one product service answers"
            );
            reqwest::get(format!("{url}/api/cart"))
                .await?
                .error_for_status()?;
            Ok(())
        })
        .await
    }

    fn logs(&self) -> String {
        let mut all = self.gateway.log();
        for service in &self.others {
            all.push_str(&service.log());
        }
        let warnings: Vec<&str> = all
            .lines()
            .filter(|line| line.contains("ERROR") || line.contains("WARN"))
            .collect();
        warnings[warnings.len().saturating_sub(40)..].join("\n")
    }
}

#[tokio::test]
async fn the_four_services_keep_the_contract() {
    let shop = Loopback::start().await.unwrap();
    if let Err(error) = shop.is_complete().await {
        panic!("{error:#}\n{}", shop.logs());
    }
    let client = Shop::new(&shop.gateway.base_url(), Some(ADMIN_TOKEN.into())).unwrap();
    // Twice: the suite leaves a shop as it found it.
    for _ in 0..2 {
        let report = conformance::run(&client, |_| ()).await;
        assert!(
            report.failed == 0,
            "{report}\n{}\n{}",
            report.failures(),
            shop.logs()
        );
        assert_eq!(report.skipped, 0);
    }
}
