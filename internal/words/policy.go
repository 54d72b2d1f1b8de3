package words

import (
	"fmt"

	"tunnelmedic/internal/policy"
)

// State is the key of a state's name.
func State(p policy.Phase) Key { return Key(fmt.Sprintf("state.%s", p)) }
