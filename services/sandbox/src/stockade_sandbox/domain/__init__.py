"""What a sandbox is, and the rules it is made by: plain values, pure functions, and the ports behind them."""
