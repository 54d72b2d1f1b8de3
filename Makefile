# The everyday commands; CONTRIBUTING.md says more. `make` alone lists them.

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help test all check lab lint docs rooms

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

test: ## the everyday run: every package, the long tables sampled
	go test -short ./...

all: ## every test at full length
	go test ./...

check: ## everything that a pull request must pass
	.ci/run

lab: ## the main job in a world of its own, in ten seconds
	go run ./cmd/tunnelmedic lab

lint: ## vet, staticcheck and the linters of .golangci.yml
	go vet ./...
	go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
	go run $(GOLANGCI) run ./...

docs: ## what is generated from the code: the causes, the lab, the log, the table and the picture of the rooms
	go test ./internal/diagnosis ./internal/lab -run Docs -update
	go test ./internal/lab/house -run EveryCause -update
	go test ./addon -run Rooms -update

rooms: ## how large each room is, and how much of it its own tests reach
	go test ./addon -run RoomSizes -count=1 -v -sizes
