package tunnel

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// Suffix ends the slug of every Cloudflared app: what stands before it names the
// store it came from.
const Suffix = "_cloudflared"

// localSlug is a copy that somebody with access to this machine's folder /addons has
// put there: no store can bring it.
const localSlug = "local" + Suffix

// stores are the repositories that the makers of the Cloudflared app publish it in
// (deploy.yaml of homeassistant-apps/app-cloudflared).
var stores = []string{
	"https://github.com/homeassistant-apps/repository",
	"https://github.com/brenner-tobias/ha-addons",
	"https://github.com/homeassistant-apps/repository-edge",
	"https://github.com/brenner-tobias/ha-addons-edge",
}

// storeSlug is the first part of the slugs of a repository's apps, as Supervisor
// makes it: the first 8 hex digits of the SHA-1 of the address in lower case
// (get_hash_from_repository in supervisor/store/utils.py).
func storeSlug(address string) string {
	sum := sha1.Sum([]byte(strings.ToLower(address)))
	return hex.EncodeToString(sum[:])[:8]
}

// Provenance is where an app comes from, as far as it may be relied on.
type Provenance uint8

const (
	Stranger Provenance = iota // from a store that nobody here knows
	Local                      // a copy on this machine
	Known                      // from one of the makers' stores
)

// ProvenanceOf says where the app of this slug comes from. Supervisor builds the slug
// from the store's hash and the name in the store, and gives the same hash as
// "repository" (store/data.py): neither says more than the other.
func ProvenanceOf(slug string) Provenance {
	if slug == localSlug {
		return Local
	}
	if store, ok := strings.CutSuffix(slug, Suffix); ok && addressOf(store) != "" {
		return Known
	}
	return Stranger
}

// addressOf gives the address of one of the makers' stores by its slug, "" if it is
// none of them.
func addressOf(store string) string {
	for _, address := range stores {
		if storeSlug(address) == store {
			return address
		}
	}
	return ""
}

// genuine says whether a store's address, as Supervisor has it, is the one that its
// slug stands for. 32 bits of a hash are matched in minutes, with a branch name
// behind the # for example; a whole address is not.
func genuine(store, source string) bool {
	return strings.EqualFold(source, addressOf(store))
}
