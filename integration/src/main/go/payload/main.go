// Command payload is all that is in the image of the shims' benchmark: it writes a line and waits for its end, or, with an
// argument, ends at once.
package main

import (
	"os"
	"time"
)

func main() {
	os.Stdout.WriteString("here\n")
	if len(os.Args) == 1 {
		time.Sleep(time.Hour)
	}
}
