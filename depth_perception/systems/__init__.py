"""The methods as they drive: `step(frame) -> output`, pure numpy. A bag and a vehicle call the very same code."""
