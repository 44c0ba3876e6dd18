"""Orders, the brackets that protect positions, and the venues they go to."""
