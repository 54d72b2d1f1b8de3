package addon

import "testing"

// The link to the blueprint leads to the fork that the program was installed from; elsewhere there is none.
func TestTheBlueprintIsImportedFromWhereTheProgramCameFrom(t *testing.T) {
	const form = "/config/blueprint/dashboard/import?blueprint_url=https%3A%2F%2Fgithub.com%2Fsomebody%2Ffork%2Fblob%2FHEAD%2Fblueprints%2Fautomation%2Ftunnelmedic%2Ftunnel_trouble.yaml"
	for origin, want := range map[string]string{
		"https://github.com/somebody/fork":     form,
		"https://github.com/somebody/fork.git": form,
		"https://github.com/somebody/fork/":    form,
		"https://git.example.com/somebody/x":   "",
		"":                                     "",
		"javascript:alert(1)":                  "",
		"https://github.com.example.com/a/b":   "",
	} {
		if got := importPath(origin); got != want {
			t.Errorf("%q: %q", origin, got)
		}
	}
}
