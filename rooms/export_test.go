package rooms

// InLine is how many entries of the room's line its goroutine has not taken yet.
func (h *Hub) InLine(id string) int {
	r := h.room(id)
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.tasks)
}
