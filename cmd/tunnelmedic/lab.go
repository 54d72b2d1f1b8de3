package main

import (
	"context"
	"io"
)

func runLab(ctx context.Context, args []string, out, errOut io.Writer) int { return 0 }
