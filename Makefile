# The habits of this project; `make help` lists them.
CARGO ?= cargo
NETNS := $(CARGO) run --quiet --release --locked -p netns-setup --
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help up down ps logs docker-up docker-down docker-build docker-conformance airgap test conformance test-vm fuzz lint fmt audit tools sqlx-prepare swarm-file swarm-up swarm-down swarm-rehearse swarm-rehearse-down backup restore rotate-secrets

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-20s %s\n", $$1, $$2 }'

up: ## install what is missing, build, and bring the shop up in kernel namespaces; waits until it is healthy
	@$(CARGO) build --release --locked -p netns-setup
	@$(NETNS) doctor --install
	@$(NETNS) up --detach

down: ## stop the shop; its volumes (orders, catalogue, secrets) are kept
	@$(NETNS) down

ps: ## what runs, where, and how it is
	@$(NETNS) ps

logs: ## follow every instance's log
	@$(NETNS) logs --follow

# What images are marked with; an address of the repository without what one logs in with.
docker-up docker-build swarm-up swarm-rehearse: export REVISION ?= $(shell git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
docker-up docker-build swarm-up swarm-rehearse: export SOURCE ?= $(or $(shell git remote get-url origin 2>/dev/null | sed -n 's|^\([a-z+]*://\)\([^/]*@\)*|\1|p'),unknown)

docker-up: ## the same shop on Docker Compose: build, bring up, wait until it is healthy
	@docker/preflight.sh
	@docker compose up --detach --build --wait

docker-down: ## stop the shop on Docker Compose; its volumes are kept
	@docker compose down

docker-build: ## build the four images, marked with the revision (TAG=dev)
	@docker compose build

docker-conformance: ## check the public contract of the shop on Docker Compose (URL=http://localhost:8080)
	@$(CARGO) run --quiet --locked -p conformance -- $(or $(URL),http://localhost:8080) \
		--admin-token "$$(docker compose run --rm -T --no-deps --entrypoint cat secrets /secrets/master/admin-token)"

airgap: ## build stand-ins for the public base images, on a machine that reaches no image registry
	@docker/airgap/build.sh

backup: ## save both databases of the shop that is up, raw, Compose or Swarm (TO=folder, WAY=raw|compose|swarm, STORES_HOST=ssh://host)
	@docker/ops/backup.sh

restore: ## put them back (FROM=folder; FORCE=1: what the shop holds now may go)
	@docker/ops/restore.sh

rotate-secrets: ## give the shop that is up new passwords and tokens (ONLY="admin-token ..."; else all)
	@docker/ops/rotate.sh

test: ## install what the tests need and run all of them, the lab's end-to-end test included
	$(CARGO) test --workspace --locked --no-run
	@$(or $(CARGO_TARGET_DIR),target)/debug/netns-setup doctor --install
	$(CARGO) test --workspace --locked

conformance: ## check the public contract of a running shop (URL=http://localhost:8080)
	@$(CARGO) run --quiet --release --locked -p conformance -- $(or $(URL),http://localhost:8080) \
		--admin-token "$$($(NETNS) secret admin-token)"

swarm-file: ## remake docker-compose-swarm.yml after changing docker-compose.yml or what it mounts
	@$(CARGO) run --quiet --locked -p netns-setup -- --file docker-compose.yml config --format swarm --output docker-compose-swarm.yml

swarm-up: ## the same shop on the Swarm that docker talks to: build what it lacks, mint secrets, deploy, wait until it is healthy (TAG=dev; BUILD=1: build anew)
	@docker/swarm/images.sh
	@docker/swarm/deploy.sh

swarm-down: ## remove it from the Swarm; volumes and secrets are kept
	@docker/swarm/remove.sh

swarm-rehearse: ## a Swarm of HOSTS=3 hosts on this machine, with the shop deployed (root; BUILD=1 builds the images anew)
	@docker/swarm/rehearse.sh $(or $(HOSTS),3)

swarm-rehearse-down: ## end it: nothing stays
	@docker/swarm/hosts.sh down

test-vm: ## try limits and AppArmor in virtual machines of SUITE="bookworm trixie" (qemu, mmdebstrap; root at first; slow)
	@netns/tests/vm/run $(SUITE)

fuzz: ## throw mutated input at TARGET=compose or request, or at each, for SECONDS=60 (nightly, cargo-fuzz)
	@netns/fuzz/run $(or $(SECONDS),60) $(TARGET)

lint: tools ## format, clippy, documentation, unused dependencies, licences
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked --quiet
	$(CARGO) machete
	$(CARGO) deny --log-level warn check bans licenses sources
	@if docker compose version >/dev/null 2>&1; then docker compose config --quiet && docker compose -f docker-compose.yml -f docker/compose.flat.yml config --quiet && echo "docker compose config: ok"; \
	else echo "docker compose is not installed: docker-compose.yml is checked by the tests of netns-setup alone"; fi

fmt: ## format every crate
	$(CARGO) fmt --all

sqlx-prepare: ## remake the data that queries are checked against, after changing a query or a migration
	$(CARGO) run --quiet --locked -p test-support --example sqlx-prepare

audit: tools ## known vulnerabilities (needs the network)
	$(CARGO) deny check advisories

tools:
	@command -v cargo-machete >/dev/null || $(CARGO) install --quiet --locked cargo-machete
	@command -v cargo-deny >/dev/null || $(CARGO) install --quiet --locked cargo-deny
