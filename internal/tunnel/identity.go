package tunnel

import "context"

// TunnelID asks the connector which tunnel it belongs to; "" if it does not say. It
// writes two lines to the add-on's log, so it is asked seldom.
func (c *Connector) TunnelID(ctx context.Context) string {
	var body struct {
		ID string `json:"tunnelID"`
	}
	if err := c.get(ctx, "/diag/tunnel", &body); err != nil {
		return ""
	}
	return body.ID
}
